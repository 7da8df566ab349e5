"""Exit codes of every command; `sensorium --help` and the README list them."""

OK = 0
FAILURE = 1
USAGE = 2  # click's own
NOT_BETTER = 3  # `train`: what was learned replaces nothing
MISCONFIGURED = 78  # EX_CONFIG of sysexits.h; systemd can be told not to restart on it
INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE
