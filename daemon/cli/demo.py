"""`sensorium demo`: the whole way in half a minute, on the bundled recording or on a camera of this machine."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli._exit import FAILURE, OK
from daemon.cli._options import read_by
from daemon.units import parse_duration

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.protocols import Mind
    from pipelines.search import Search

SPEED = 10.0
"""Multiple of real time in a terminal, so that one can read along; elsewhere as fast as it goes."""


@click.command(
    epilog="""\b
Examples:
  sensorium demo
  sensorium demo --store ./demo
  sensorium demo --camera 0 --for 20s

\b
In a terminal it ends with a prompt for searches of your own. Exit codes:
0 shown, 1 something failed."""
)
@click.option("--camera", metavar="DEVICE", help="Watch this camera (0, /dev/video0, a file) instead of the recording.")
@click.option("--for", "duration", default="20s", show_default=True, metavar="TIME", callback=read_by(parse_duration),
              help="How long to watch a camera.")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep the moments there (default: a folder that goes at the end).")  # fmt: skip
def command(*, camera: str | None, duration: int, store: Path | None) -> int:
    """Show the whole way on the bundled recording, then three searches."""
    from daemon import bundled, logs
    from daemon.cli import _moments, _pull, _show
    from daemon.config import load
    from daemon.mind import open_mind
    from daemon.searching import open_search

    out = _show.console()
    logs.configure("warning")
    _pull.ensure_models()
    with ExitStack() as stack:
        if store is None:
            store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sensorium-demo-")))
        flags: dict[str, Any] = {"store": {"path": store}}
        if camera is not None:
            options = {"type": "camera", "device": int(camera) if camera.isdigit() else camera, "fps": 5.0}
            flags["streams"] = {"camera": options}
        config = load(Path("/dev/null"), flags=flags, environ={})
        mind = stack.enter_context(open_mind(config))
        if camera is None:
            troubles = _replay(config, mind, out, _moments.Shown(out))
        else:
            troubles = _watch(config, mind, out, _moments.Shown(out), duration)
        for sentence in troubles:
            click.echo(f"sensorium: {sentence}", err=True)
        search = stack.enter_context(open_search(config, mind=mind))
        if camera is None:
            for title, question in bundled.QUESTIONS:
                _ask(search, out, question, title)
        if sys.stdin.isatty() and out.is_terminal and not (troubles and camera is not None):
            _prompt(search, out)
    return FAILURE if troubles else OK


def _replay(config: Any, mind: Mind, out: Console, show: Any) -> list[str]:
    from connectors.recording.replay import open_recording
    from daemon import bundled
    from daemon.replaying import replay

    out.rule("[bold]A recording of half a minute, as it is understood", align="left")
    with bundled.recording() as path:
        outcome = replay(
            config, open_recording(path), mind, speed=SPEED if out.is_terminal else None, on_moment=show
        )  # fmt: skip
    out.print(f"\n{outcome.summary()}\n", style="dim")
    return outcome.troubles


def _watch(config: Any, mind: Mind, out: Console, show: Any, duration: int) -> list[str]:
    from daemon import build
    from daemon.watching import until_stopped
    from pipelines.clock import BootClock

    out.rule("[bold]What the camera sees, as it is understood (Ctrl-C ends it)", align="left")
    clock = BootClock()
    with (
        build.configured(config, clock=clock) as group,
        build.pipeline(config, group, mind, clock=clock) as pipeline,
    ):
        until_stopped(pipeline.run(show, drain=1.0), pipeline.stop, within=duration)
    return list(group.failed.values())


def _ask(search: Search, out: Console, question: str, title: str = "") -> None:
    import time

    from daemon.cli import _answer
    from pipelines.errors import QuestionError

    if title:
        out.rule(f"[bold]{title}[/]  [dim]sensorium search '{question}'[/]", align="left")
    try:
        out.print(_answer.cards(search.ask(question, limit=3, now=time.time_ns())))
    except QuestionError as error:
        out.print(f"[yellow]{error}[/]")


def _prompt(search: Search, out: Console) -> None:
    out.print("[dim]Your turn: words, or seen:, heard:, said: in front of them. An empty line ends it.[/]")
    try:
        while question := click.prompt("search", default="", show_default=False, prompt_suffix="> ").strip():
            _ask(search, out, question)
    except click.Abort:  # Ctrl-D and Ctrl-C end it as well, and nothing has failed
        out.print()
