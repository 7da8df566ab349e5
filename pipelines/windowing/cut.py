"""Decisions of the clock, and the script that they make for a replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Reason: TypeAlias = Literal["idle", "deadline", "budget", "words", "joined", "stopped"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A decision of the clock: window `start` at `revision` is what had been taken in by then.

    A join is told as a Cut, too: the one with the reason "joined" says that after `through[stream]` packets of the
    joining stream nothing of it older than the end of window `start` was taken, and nothing else.

    Attributes:
        start: start of the window, ns.
        revision: 0, or 1 for the closing of a window that had been cut, whether or not its packets changed.
        through: per stream, how many of its packets had passed the stream's own tests (not refused, not behind its
            bound), those that came late for a closed window and its Gaps counted too: a number that does not depend
            on how the streams interleave.
        missing: why each stream that was short of the window's end did not have to be waited for.
    """

    start: int
    revision: int
    through: Mapping[str, int]
    missing: Mapping[str, Reason]

    @property
    def joins(self) -> str | None:
        """The joining stream, where this Cut tells a join."""
        return next((stream for stream, reason in self.missing.items() if reason == "joined"), None)


@dataclass(slots=True)
class Script:
    """The Cuts of a recording, in any order, sorted into what a replay asks for.

    Attributes:
        windows: the Cuts of windows, by (start, revision).
        order: the same in the order in which they were decided, latest first, to be popped.
        joins: per stream, (count, window start) of each of its joins in order.
    """

    cuts: Iterable[Cut]
    windows: dict[tuple[int, int], Cut] = field(default_factory=dict)
    order: list[Cut] = field(default_factory=list)
    joins: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # Counts only grow, so their sum tells the order of the decisions.
        for cut in sorted(self.cuts, key=lambda cut: (sum(cut.through.values()), cut.start, cut.revision)):
            self.streams.update(cut.through)
            joining = cut.joins
            if joining is not None:
                self.joins.setdefault(joining, []).append((cut.through.get(joining, 0), cut.start))
            elif (cut.start, cut.revision) not in self.windows:
                self.windows[cut.start, cut.revision] = cut
                self.order.append(cut)
        self.order.reverse()
