"""`sensorium run`: watch what the configuration names, and publish every moment."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from daemon.cli._exit import FAILURE, OK
from daemon.cli._options import config_options, store_option

DRAIN_SECONDS = 10.0


@click.command(
    epilog="""\b
Examples:
  sensorium run
  sensorium run --config /etc/sensorium/config.yaml
  tail -f notes.txt | sensorium run --set streams.notes.type=stdin

\b
SIGTERM and Ctrl-C stop the sources; what has arrived is still understood,
stored and delivered, for ten seconds at most. What a sink has not got by then
it gets in the next run. A second Ctrl-C does not wait.

\b
Exit codes: 0 ended or stopped in order; 1 no source was left, a file could not
be read to its end, or something failed; 2 wrong command line; 78 wrong
configuration; 130 a second Ctrl-C."""
)
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Also write everything that comes in into this recording.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Do not show the moments in the terminal.")
@store_option
@config_options
def command(
    *, record: Path | None, quiet: bool, store: Path | None, config_path: Path | None, sets: tuple[str, ...]
) -> int:
    """Watch, listen and read, and publish every moment, until stopped."""
    from daemon import build, logs
    from daemon.cli import _moments, _pull, _show
    from daemon.config import load
    from daemon.mind import open_mind
    from daemon.watching import until_stopped
    from pipelines.clock import BootClock

    config = load(config_path, flags={"store": {"path": store}, "record": {"path": record}}, sets=sets)
    logs.configure(config.logs.level, config.logs.format)
    build.require_streams(config)
    _pull.ensure_models()
    to_stdout = any(sink.type == "stdout" for sink in config.sinks.values())
    show = _moments.silent if quiet or to_stdout or not sys.stdout.isatty() else _moments.Shown(_show.console())
    log = logs.logger().bind(group=config.group)
    clock = BootClock()
    with (
        open_mind(config) as mind,
        build.configured(config, clock=clock) as group,
        build.pipeline(config, group, mind, clock=clock) as pipeline,
    ):
        log.info("run.started", streams=sorted(config.streams), mode=config.mode, store=str(config.store.path))
        drained = until_stopped(pipeline.run(show, drain=DRAIN_SECONDS), pipeline.stop)
        for name, sink in pipeline.outbox.state().items():
            if sink.lag:
                log.error("sink.behind", sink=name, waiting=sink.lag, reason=sink.last_error)
        log.info("run.ended", moments=pipeline.runner.moments, drained=drained, failed=sorted(group.failed))
    missed = len(group.failed) if config.mode == "event_time" else len(group.failed) - len(config.streams) + 1
    return FAILURE if missed > 0 else OK  # a device may be away; a file that ends early is not what was asked for
