"""What the program was told to do, as one frozen tree: flags, else environment, else config.yaml, else defaults.

    config = load(Path("config.yaml"))          # raises ConfigError: all mistakes at once, each with its place
    config.align.length                         # 2_000_000_000; instants and durations are ns, sizes are bytes

`config.yaml` in the repository explains every key in a line. A key of the environment is `SENSORIUM_SECTION__KEY`
(`SENSORIUM_ALIGN__LENGTH=4s`, `SENSORIUM_STREAMS__CAMERA_FRONT__DEVICE=1`: case and punctuation of names do not count).
"""

from daemon.config.loading import load
from daemon.config.tree import Align, Config, ConfigError, Mind, Mistake, Sink, Store, Stream

__all__ = ["Align", "Config", "ConfigError", "Mind", "Mistake", "Sink", "Store", "Stream", "load"]
