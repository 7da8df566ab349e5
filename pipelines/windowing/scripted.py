"""Windows decided by a recording: each as it was decided then, however the streams interleave now."""

from __future__ import annotations

from collections.abc import Callable, Set

from pipelines.watermark import UNSEEN
from pipelines.windowing.cut import Cut, Reason, Script
from pipelines.windowing.intake import FAR, Entry, Intake
from pipelines.windowing.shelf import Shelf, Window, size


class Scripted:
    """Replays the Cuts of `script`; a window without one closes when every stream has passed its end.

    A cut window comes as soon as every stream has brought its share, at the latest when every stream has passed its
    end; nothing that it may contain can come after that, so both give the same.
    """

    def __init__(self, shelf: Shelf, script: Script, declared: Set[str], *, on_cut: Callable[[Cut], None]) -> None:
        self._shelf = shelf
        self._length = shelf.grid.length
        self._script = script
        self._declared = declared
        self._on_cut = on_cut
        self.decided = UNSEEN
        self._cut: dict[int, int] = {}  # size at revision 0 of windows that came before all streams had passed
        self._done: set[int] = set()  # those of them that are final
        self._blocked: tuple[Intake, int] | None = None  # who has to bring how many for the next Cut
        closings = [start for start, revision in script.windows if revision == 1]
        self.wary = max(closings, default=UNSEEN) + self._length  # an entry that begins before it has to be judged

    def judge(self, intake: Intake, entry: Entry, now: int) -> str | None:
        """Why no window may take `entry`; None where one may."""
        grid = self._shelf.grid
        for start in range(grid.oldest_at(entry[0]), grid.newest_at(entry[3]) + 1, grid.hop):
            closing = self._script.windows.get((start, 1))
            if closing is None or entry[1] < closing.through.get(intake.name, 0):
                return None
        return "window_closed"

    def observe(self, intake: Intake, now: int) -> list[Window]:
        """`intake` has brought something, or its progress has moved."""
        windows: list[Window] = []
        if self._script.order and (self._blocked is None or self._blocked[0].taken >= self._blocked[1]):
            self._follow(windows)
        full = self._shelf.full
        if full >= self._shelf.due or full - self.decided > self._length:
            self._settle_until(full, windows)
        return windows

    def lose(self, intake: Intake) -> list[Window]:
        """`intake` has told a Gap."""
        return self.observe(intake, 0)

    def tick(self, now: int) -> list[Window]:
        """Nothing: the clock has decided already."""
        return []

    def open(self, intake: Intake, now: int) -> list[Window]:
        """Nothing: a join is a Cut."""
        return []

    def close(self, intake: Intake) -> list[Window]:
        """`intake` has ended."""
        return self.observe(intake, 0)

    def stop(self) -> list[Window]:
        """Everything ends here: what the script does not say, and streams are short of, is cut."""
        windows: list[Window] = []
        self._settle_until(FAR, windows)
        return windows

    def _follow(self, windows: list[Window]) -> None:
        order = self._script.order
        while order:
            cut = order[-1]
            self._blocked = self._short(cut)
            if self._blocked is not None:
                return
            order.pop()
            if cut.start + self._length <= self.decided:
                continue
            if cut.revision == 0:
                self._cut[cut.start] = self._emit(cut.start, 0, cut, windows)
            else:
                self._emit(cut.start, self._cut.get(cut.start, 0), cut, windows)
                self._done.add(cut.start)

    def _short(self, cut: Cut) -> tuple[Intake, int] | None:
        for name, count in cut.through.items():
            intake = self._shelf.intakes[name]
            if intake.taken < count:
                return intake, count
        return None

    def _settle_until(self, limit: int, windows: list[Window]) -> None:
        """Everything for windows that end by `limit` is there."""
        for start in self._shelf.filled(self.decided, limit):
            if start in self._done:
                continue
            first = self._script.windows.get((start, 0))
            second = self._script.windows.get((start, 1))
            before = self._cut.get(start)
            if before is None:
                before = self._emit(start, 0, first, windows)
            if first is not None:
                self._emit(start, before, second, windows, revision=1)
        self.decided = limit
        self._cut = {start: count for start, count in self._cut.items() if start + self._length > limit}
        self._done = {start for start in self._done if start + self._length > limit}
        self._shelf.drop_before(self._shelf.grid.oldest_at(limit))

    def _emit(
        self, start: int, before: int, cut: Cut | None, windows: list[Window], revision: int | None = None
    ) -> int:
        """Add the window as of `cut`, or as it is, where it has other than `before` packets; how many it has."""
        through = None if cut is None else cut.through
        packets = self._shelf.collect(start, through)
        count = size(packets)
        if count != before:
            missing = self._missing(start + self._length) if cut is None else cut.missing
            number = revision if revision is not None else 0 if cut is None else cut.revision
            if cut is None and missing:
                self._on_cut(Cut(start, number, {n: i.taken for n, i in self._shelf.intakes.items()}, missing))
            windows.append(self._shelf.window(start, packets, revision=number, missing=missing, through=through))
        return count

    def _missing(self, end: int) -> dict[str, Reason]:
        # A stream that only the script knows, and that has brought nothing, is none of this replay's.
        return {
            name: "stopped"
            for name, intake in self._shelf.intakes.items()
            if intake.progress < end and (intake.taken or name in self._declared)
        }
