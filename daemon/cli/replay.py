"""`sensorium replay`: a recording through the same path as live streams."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli._exit import FAILURE, OK
from daemon.cli._options import config_options, json_option, read_by, store_option


def parse_speed(text: str) -> float | None:
    """`max` is None; else a multiple of real time."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 1000.0:
        raise ValueError(f"expected max, or a number above 0 such as 1 or 0.5, got {text!r}")
    return speed


@click.command(
    epilog="""\b
Examples:
  sensorium replay hall.mcap
  sensorium replay hall.mcap --store ./hall --sink jsonl:moments.jsonl
  sensorium replay hall.mcap --speed 1 --sink stdout

\b
A recording replays as it was aligned when it was made, down to the byte; a
replay that was stopped goes on where it is told to again: what is stored
already is not stored twice. --set align.length=... aligns it anew, without
the decisions of the recorded run.

\b
Exit codes: 0 everything is stored and every sink has it; 1 the recording is
damaged (what could be read is stored) or something failed; 2 wrong command
line; 78 wrong configuration; 130 stopped by Ctrl-C."""
)
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--speed", default="max", show_default=True, metavar="N|max", callback=read_by(parse_speed),
              help="Multiple of real time.")  # fmt: skip
@click.option("--sink", "sink_specs", multiple=True, metavar="TYPE[:FILE]",
              help="Deliver there, not to the configured sinks: jsonl:FILE, stdout. May be repeated.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Do not show the moments as they come.")
@store_option
@config_options
@json_option
def command(
    *, recording: Path, speed: float | None, sink_specs: tuple[str, ...], quiet: bool, store: Path | None,
    config_path: Path | None, sets: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Run a recording through the same path as live streams."""
    from connectors.recording.replay import open_recording
    from daemon import logs
    from daemon.cli import _moments, _pull, _show
    from daemon.config import load
    from daemon.mind import open_mind
    from daemon.replaying import replay, with_sinks

    config = load(config_path, flags={"store": {"path": store}}, sets=sets)
    logs.configure(config.logs.level, config.logs.format)
    config = with_sinks(config, sink_specs)
    to_stdout = any(sink.type == "stdout" for sink in config.sinks.values())
    if to_stdout and as_json:
        raise click.UsageError("--json and the sink stdout both want standard output; leave one out, or use jsonl:FILE")
    opened = open_recording(recording)
    _pull.ensure_models()
    show = _moments.silent if quiet or as_json else _moments.Shown(_show.console(err=to_stdout))
    overridden = any(text.startswith("align.") for text in sets)
    with open_mind(config) as mind:
        outcome = replay(config, opened, mind, speed=speed, overridden=overridden, on_moment=show)
    if as_json:
        _show.as_json(outcome.to_json())
    else:
        for sentence in (*outcome.notices, outcome.summary()):
            click.echo(sentence, err=True)
    for sentence in outcome.troubles:
        click.echo(f"sensorium: {sentence}", err=True)
    return FAILURE if outcome.troubles else OK
