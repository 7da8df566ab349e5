"""Windows decided while they happen: by the watermark, and where that is not enough, by the clock.

Two times divide the axis. Windows that end by `decided` have had their revision 0; those that end by `settled` are
final. In between wait the cut windows, and belated ones: empty when they were decided, so that nothing was said of
them, and given packets since.

        final         |  cut, or belated  |      open
    ------------------+-------------------+-----------------> event time
                   settled             decided
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipelines.packet import SECOND
from pipelines.watermark import UNSEEN, StreamTime, Watermarks
from pipelines.windowing.cut import Cut, Reason
from pipelines.windowing.intake import FAR, Entry, Intake
from pipelines.windowing.shelf import Shelf, Window, size

MEMORY = 3600 * SECOND
"""How long, beyond the lateness, it is known which windows were cut."""

PATIENCE = 60 * SECOND
"""With lateness 0, how long a window still waits for a stream that does not hold: else it would never get its words."""


class Live:
    """Decides, and tells each decision that the full watermark alone did not cause to `on_cut`."""

    def __init__(
        self,
        shelf: Shelf,
        streams: Mapping[str, StreamTime],
        *,
        lateness: int,
        idle_after: int | None,
        deadline: int | None,
        budget: int | None,
        on_cut: Callable[[Cut], None],
    ) -> None:
        self._shelf = shelf
        self._length = shelf.grid.length
        self._lateness = lateness
        self._idle_after = idle_after
        self._deadline = deadline
        self._budget = budget
        self._on_cut = on_cut
        holding = {name: StreamTime(0, time.idle_after) for name, time in streams.items() if time.holds}
        self._watermarks = Watermarks(holding, idle_after=idle_after)
        self._mark = UNSEEN  # the combined watermark
        self._marked = UNSEEN  # how far windows have been decided by it
        self._settled = UNSEEN
        self._dropped = UNSEEN  # what lies before it is no longer kept
        self.decided = UNSEEN
        self._cut: dict[int, int] = {}  # start of each cut window that is not final: its size at revision 0
        self._belated: dict[int, int] = {}  # start of each belated window: when its first packet came
        self._oldest = FAR  # the lowest end of both
        self._final: set[int] = set()  # starts of windows whose closing was a Cut
        self._final_limit = 64

    @property
    def wary(self) -> int:
        """An entry that begins before it has to be judged."""
        return self.decided

    # What the streams do. Each returns the windows that it decides.

    def judge(self, intake: Intake, entry: Entry, now: int) -> str | None:
        """Why no window may take `entry`, which begins before `decided`; None where one may."""
        if entry[0] < self._horizon():
            return "forgotten"
        grid = self._shelf.grid
        self._settled = max(self._settled, min(self._limit(), self.decided))
        reason: str | None = "window_closed"
        for start in range(grid.oldest_at(entry[0]), grid.newest_at(entry[3]) + 1, grid.hop):
            end = start + self._length
            if end > self._settled:
                reason = None
                if end <= self.decided and start not in self._cut:
                    self._belated.setdefault(start, now)
                    self._oldest = min(self._oldest, end)
            elif start not in self._final:  # it was empty when it became final; a replay has to know that
                missing = self._missing(end, "deadline")
                self._tell(start, 0, missing)
                self._tell(start, 1, missing)
                self._final.add(start)
        return reason

    def observe(self, intake: Intake, now: int) -> list[Window]:
        """`intake` has shown a sign of life; its progress may have moved."""
        if intake.holds:
            moved = self._watermarks.observe(intake.name, intake.progress, now)
            if moved is not None:
                self._mark = moved
        shelf = self._shelf
        mark = self._mark if self._mark > shelf.full else shelf.full
        if mark < shelf.due and self._oldest == FAR and (self._budget is None or shelf.held <= self._budget):
            if mark > self.decided:  # noqa: PLR1730 - once a packet, and max() costs more
                self.decided = mark
            return []  # most packets close nothing
        windows = self._advance()
        if self._budget is not None:
            while shelf.held > self._budget and self._shed(windows):
                pass
        return windows

    def lose(self, intake: Intake) -> list[Window]:
        """`intake` has told a Gap, which is no sign of life."""
        return self._advance()

    def tick(self, now: int) -> list[Window]:
        """Time has passed and nothing is held back: who is silent is idle, and what is overdue is decided."""
        self._raise(self._watermarks.tick(now))
        windows = self._advance()
        if self._deadline is not None:
            due = now - self._deadline
            self._decide_until(due, "deadline", windows)
            for start, since in sorted(self._belated.items()):
                if max(since, start + self._length) <= due:
                    self._decide_belated(start, "deadline", windows)
            self._settle_until(self._limit(), "deadline", windows)
        return windows

    def open(self, intake: Intake, now: int) -> list[Window]:
        """`intake` joins: what of it is older than the last decided end is late."""
        grid = self._shelf.grid
        start = grid.ended_by(0 if self.decided == UNSEEN else self.decided)
        intake.promise(start + self._length)
        self._shelf.measure()
        if intake.holds:
            self._watermarks.open(intake.name, now)
        self._tell(start, 0, {intake.name: "joined"})
        return self._advance()

    def close(self, intake: Intake) -> list[Window]:
        """`intake` has ended."""
        if intake.holds:
            self._raise(self._watermarks.close(intake.name))
        return self._advance()

    def stop(self) -> list[Window]:
        """Everything ends here: what streams are short of is cut."""
        windows: list[Window] = []
        for start in sorted(self._cut.keys() | self._belated.keys()):
            self._settle(start, "stopped", windows)
        self._decide_until(FAR, "stopped", windows)
        self._cut.clear()
        self._oldest, self._settled = FAR, self.decided
        self._shelf.drop_before(FAR)
        return windows

    # How it decides.

    def _raise(self, moved: int | None) -> None:
        if moved is not None:
            self._mark = moved

    def _advance(self) -> list[Window]:
        windows: list[Window] = []
        mark = max(self._mark, self._shelf.full)
        self._decide_until(mark, "idle", windows)
        for start in sorted(self._belated):
            if self._marked < start + self._length <= mark:
                self._decide_belated(start, "idle", windows)
        self._marked = min(mark, self.decided)
        self._settle_until(self._limit(), "deadline", windows)
        return windows

    def _limit(self) -> int:
        """Windows that end by it are final: every stream has passed it, or those that count have by the lateness."""
        full = self._shelf.full
        limit = self._mark - self._lateness
        if self._lateness == 0:
            short = [i.progress for i in self._shelf.intakes.values() if not i.holds]
            limit = max(min([limit, *short]), limit - PATIENCE)
        return max(full, limit, self._horizon())

    def _horizon(self) -> int:
        return self.decided - self._lateness - MEMORY

    def _decide_until(self, limit: int, cause: Reason, windows: list[Window]) -> None:
        if limit <= self.decided:
            return
        last = self.decided
        if limit >= self._shelf.due:
            for start in self._shelf.filled(self.decided, limit):
                self._decide(start, cause, windows)
                last = start + self._length
        self.decided = limit if limit < FAR else last  # a stream may still come back after the end of all

    def _decide(self, start: int, cause: Reason, windows: list[Window]) -> None:
        """Revision 0."""
        packets = self._shelf.collect(start)
        if not packets:
            return
        missing = self._missing(start + self._length, cause)
        if missing:
            self._tell(start, 0, missing)
            self._cut[start] = size(packets)
            self._oldest = min(self._oldest, start + self._length)
        windows.append(self._shelf.window(start, packets, missing=missing))

    def _decide_belated(self, start: int, cause: Reason, windows: list[Window]) -> None:
        del self._belated[start]
        self._decide(start, cause, windows)

    def _settle_until(self, limit: int, cause: Reason, windows: list[Window]) -> None:
        if limit <= self._settled and limit < self._oldest:
            return
        if limit >= self._oldest:
            for start in sorted(self._cut.keys() | self._belated.keys()):
                if start + self._length > limit:
                    break
                self._settle(start, cause, windows)
            self._oldest = min((*self._cut, *self._belated), default=FAR)
            self._oldest = FAR if self._oldest == FAR else self._oldest + self._length
        self._settled = max(self._settled, min(limit, self.decided))
        floor = self._shelf.grid.oldest_at(self._settled)
        if floor > self._dropped:
            self._dropped = floor
            self._shelf.drop_before(floor)
        if len(self._final) > self._final_limit:
            horizon = self._horizon()
            self._final = {start for start in self._final if start + self._length > horizon}
            self._final_limit = 2 * len(self._final) + 64

    def _settle(self, start: int, cause: Reason, windows: list[Window]) -> None:
        """Close a cut or belated window for good; what that changes is its revision 1."""
        if start in self._belated:
            self._decide_belated(start, cause, windows)
        before = self._cut.pop(start, None)
        if before is None:
            return
        missing = self._missing(start + self._length, cause)
        packets = self._shelf.collect(start)
        if missing:
            self._tell(start, 1, missing)
            self._final.add(start)
        if size(packets) != before:
            windows.append(self._shelf.window(start, packets, revision=1, missing=missing))

    def _shed(self, windows: list[Window]) -> bool:
        """Make the oldest window final; whether there was one."""
        start = self._shelf.next_filled(self._shelf.grid.oldest_at(self._settled))
        if start is None:
            return False
        self._decide_until(start + self._length, "budget", windows)
        self._settle_until(start + self._length, "budget", windows)
        return True

    def _missing(self, end: int, cause: Reason) -> dict[str, Reason]:
        """Streams short of `end`, and why nobody waits for them: `cause` for those that still count."""
        missing: dict[str, Reason] = {}
        for name, intake in self._shelf.intakes.items():
            if intake.progress >= end:
                continue
            if not intake.holds:
                missing[name] = "words"
            elif cause == "stopped" or self._watermarks.counts(name):
                missing[name] = cause
            else:
                missing[name] = "idle"
        return missing

    def _tell(self, start: int, revision: int, missing: Mapping[str, Reason]) -> None:
        through = {name: intake.taken for name, intake in self._shelf.intakes.items()}
        self._on_cut(Cut(start, revision, through, missing))
