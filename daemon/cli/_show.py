"""What several commands print alike: JSON for programs, tables and marks for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OK, WARNING, BAD = "[green]✓[/]", "[yellow]![/]", "[red]✗[/]"


def as_json(value: Any) -> None:
    """The one line (or page, in a terminal) that goes to stdout under `--json`."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def console(*, err: bool = False) -> Console:
    """For people; no colours where nobody looks, and no line cut there either."""
    from rich.console import Console

    class Shown(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - the BrokenPipeError that rich is handling; its own way is to exit with 1

    shown = Shown(stderr=err, highlight=False, soft_wrap=False)
    if not shown.is_terminal:
        shown = Shown(stderr=err, highlight=False, width=160)
    return shown


def table(*columns: str, title: str | None = None) -> Table:
    """A table without frames; the first column never breaks."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, no_wrap=number == 0, overflow="fold")
    return made


def fields(rows: Iterable[tuple[str, ...]]) -> Table:
    """Names, values and what else there is of each, without a head; square brackets in them are shown."""
    from rich.markup import escape
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    made.add_column(overflow="fold", style="dim")
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def plain(text: str) -> str:
    """Words of others in one line, without what a terminal would obey: escapes, line feeds, turns of direction."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def when(nanoseconds: int) -> str:
    """Local date and time to the second; what is today is the time alone."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000)
    return f"{moment:%H:%M:%S}" if moment.date() == datetime.now().date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def lasting(nanoseconds: int) -> str:
    """Seconds with one digit, from a minute on minutes and seconds."""
    seconds = nanoseconds / 1e9
    return f"{seconds:.1f} s" if seconds < 59.95 else f"{round(seconds) // 60} min {round(seconds) % 60} s"


def bar(share: float, width: int = 10) -> str:
    """`████▌     ` for a share in [0, 1], in eighths of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)
