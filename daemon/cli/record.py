"""`sensorium record`: keep what the sources bring, without understanding it."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli._exit import FAILURE, OK
from daemon.cli._options import config_options, read_by
from daemon.units import parse_duration


@click.command(
    epilog="""\b
Examples:
  sensorium record hall.mcap
  sensorium record hall.mcap --for 10m --config hall.yaml

\b
The recording opens in Foxglove and Lichtblick, and `sensorium replay` gives
the moments that a live run would have given, down to the byte.

\b
Exit codes: 0 ended or stopped in order; 1 no source was left, or the file
could not be written; 2 wrong command line; 78 wrong configuration."""
)
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--for", "duration", metavar="TIME", callback=read_by(parse_duration), help="Stop after this, such as 10m."
)
@config_options
def command(*, recording: Path, duration: int | None, config_path: Path | None, sets: tuple[str, ...]) -> int:
    """Write what the configured sources bring into a recording."""
    from daemon import build, logs
    from daemon.config import load
    from daemon.watching import until_stopped
    from pipelines.clock import BootClock

    config = load(config_path, flags={"record": {"path": recording}}, sets=sets)
    logs.configure(config.logs.level, config.logs.format)
    build.require_streams(config)
    log = logs.logger().bind(group=config.group)
    with build.configured(config, clock=BootClock()) as group:
        log.info("record.started", streams=sorted(config.streams), path=str(recording))
        windows = until_stopped(build.count_windows(group), group.stop, within=duration)
        packets = {stream: counters.received for stream, counters in group.windower.counters.items()}
        log.info("record.ended", packets=packets, windows=windows, failed=sorted(group.failed))
    return FAILURE if len(group.failed) == len(config.streams) or not recording.exists() else OK
