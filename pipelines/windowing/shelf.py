"""Windows, and the packets of all streams kept until no window can ask for them again.

Each packet is kept once, however many windows overlap; a window is put together when it is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from pipelines.packet import Gap, Packet
from pipelines.windowing.cut import Reason
from pipelines.windowing.grid import Grid
from pipelines.windowing.intake import FAR, Entry, Intake


@dataclass(frozen=True, slots=True)
class Window:
    """What all streams brought in [start, end).

    Attributes:
        start: first instant, ns.
        end: the instant behind the last, ns.
        group: the streams that become one moment.
        id: the same for the same group, start and length, on every run and machine.
        packets: by stream, in time order; audio cut at the edges by sample index. Only streams that brought some.
        revision: 0, or 1 where a cut window was filled up later.
        complete: every holding stream had reached `end`.
        gaps: by stream, known losses and streams that were not waited for, within the window.
    """

    start: int
    end: int
    group: str
    id: str
    packets: Mapping[str, tuple[Packet, ...]]
    revision: int = 0
    complete: bool = True
    gaps: Mapping[str, tuple[Gap, ...]] = field(default_factory=dict)


def window_id(group: str, start: int, length: int) -> str:
    """32 hex digits over group, start and length."""
    return blake2b(f"{start}:{length}:{group}".encode(), digest_size=16).hexdigest()


class Shelf:
    """All streams of a group and what is kept of them."""

    def __init__(self, group: str, grid: Grid, *, weigh: bool) -> None:
        self.group = group
        self.grid = grid
        self.intakes: dict[str, Intake] = {}
        self.full = FAR  # the lowest progress of all open streams
        self.held = 0  # bytes of the payloads kept, each counted once; 0 unless they are weighed
        self.due = FAR  # end of the oldest window with packets that has not been handed out by `filled`
        self.guard = FAR  # an entry that begins before it makes an older window due
        self._weigh = weigh

    def measure(self) -> None:
        """Renew `full` after a progress has moved."""
        full = FAR
        for intake in self.intakes.values():
            if intake.progress < full:  # noqa: PLR1730 - once a packet, and min() costs three times as much
                full = intake.progress
        self.full = full

    def store(self, intake: Intake, entry: Entry, closed_until: int) -> None:
        """Keep `entry` for all windows that end after `closed_until`."""
        intake.store(entry)
        if self._weigh:
            self.held += entry[2].nbytes
        if entry[0] < self.guard:
            due = self.grid.oldest_at(max(entry[0], closed_until)) + self.grid.length
            if due < self.due:
                self.due = due
                self.guard = due - self.grid.hop

    def filled(self, after: int, until: int) -> Iterator[int]:
        """Starts of the windows with packets that end in (after, until], ascending; what is empty is jumped over."""
        start = self.grid.oldest_at(after)
        while True:
            found = self.next_filled(start)
            if found is None or found + self.grid.length > until:
                self.due = FAR if found is None else found + self.grid.length
                self.guard = FAR if found is None else self.due - self.grid.hop
                return
            yield found
            start = found + self.grid.hop

    def next_filled(self, start: int) -> int | None:
        """The first window from `start` on that has packets."""
        times = [time for intake in self.intakes.values() if (time := intake.earliest(start)) is not None]
        return max(start, self.grid.oldest_at(min(times))) if times else None

    def collect(self, start: int, through: Mapping[str, int] | None = None) -> dict[str, tuple[Packet, ...]]:
        """The packets of a window by stream; with `through`, of the first so many of each stream."""
        end = start + self.grid.length
        collected = {}
        for name, intake in self.intakes.items():
            packets = intake.between(start, end, FAR if through is None else through.get(name, 0))
            if packets:
                collected[name] = packets
        return collected

    def window(
        self,
        start: int,
        packets: Mapping[str, tuple[Packet, ...]],
        *,
        revision: int = 0,
        missing: Mapping[str, Reason],
        through: Mapping[str, int] | None = None,
    ) -> Window:
        """The window of `packets`; it is complete where nothing is missing but streams that do not hold."""
        end = start + self.grid.length
        gaps = {}
        for name, intake in self.intakes.items():
            found = intake.gaps_between(start, end, FAR if through is None else through.get(name, 0))
            if name in missing:
                begin = max((packet.end for packet in packets.get(name, ())), default=start)
                found.append(Gap(name, min(begin, end), end, missing[name]))
            if found:
                gaps[name] = tuple(found)
        return Window(
            start,
            end,
            self.group,
            window_id(self.group, start, self.grid.length),
            packets,
            revision,
            all(reason == "words" for reason in missing.values()),
            gaps,
        )

    def drop_before(self, start: int) -> None:
        """Forget what lies before `start`."""
        for intake in self.intakes.values():
            dropped = intake.drop_before(start)
            if self._weigh:
                self.held -= sum(entry[2].nbytes for entry in dropped)


def size(packets: Mapping[str, tuple[Packet, ...]]) -> int:
    """How many packets a window has. It only ever gains some, so that an equal size means equal packets."""
    return sum(map(len, packets.values()))
