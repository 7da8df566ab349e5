"""Moments as they come, for people: a line each, with what was seen, heard and said, and what was missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli import _show
from daemon.cli._answer import COLOURS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from pipelines.moment import Moment, StreamView

VERBS = {"image": "seen", "audio": "heard", "text": "said"}
SHOWN = 2
"""Labels of one stream in a line."""

LEAST = 0.05
"""Labels less probable than this are left out."""


class Shown:
    """Prints each moment as it comes, with the time since the first one."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._first: int | None = None

    def __call__(self, moment: Moment) -> None:
        if self._first is None:
            self._first = moment.start
        if self._out.is_terminal:
            self._out.print(line(moment, self._first), no_wrap=True, overflow="ellipsis")
        else:
            self._out.print(line(moment, self._first), soft_wrap=True)


def silent(moment: Moment) -> None:
    """Shows nothing."""


def line(moment: Moment, first: int | None = None) -> Text:
    """One moment. `first` (ns): show the time since then instead of the time of day."""
    from rich.text import Text

    at = _show.when(moment.start) if first is None else f"{(moment.start - first) / 1e9:6.1f} s"
    text = Text.assemble((at, "bold"), "  ")
    for view in sorted(moment.streams.values(), key=lambda view: list(VERBS).index(view.modality)):
        text.append(f"{VERBS[view.modality]} ", style=f"bold {COLOURS[view.modality]}")
        text.append(f"{_show.plain(_what(view))}   ")
    marks = [] if moment.complete else ["incomplete"]
    marks += [f"{stream}: {', '.join(sorted({gap.reason for gap in gaps}))}" for stream, gaps in moment.gaps.items()]
    if marks:
        text.append(_show.plain(f"[{'; '.join(marks)}]"), style="yellow")
    return text


def _what(view: StreamView) -> str:
    if view.errors:
        return f"unreadable ({view.errors[0]})"
    if view.text:
        return f"“{' '.join(view.text)}”"
    named = [f"{name} {p:.0%}" for name, p in view.labels[:SHOWN] if p >= LEAST]
    return ", ".join(named) or "nothing it can name"
