"""One stream at the door of the windows: its own tests, and what it has brought, in time order.

Nothing here depends on any other stream; that is what makes a replay exact.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

from pipelines.packet import SECOND, Gap, Packet
from pipelines.watermark import UNSEEN, StreamTime
from pipelines.windowing.grid import cut_samples, middle_of, sample_at

FAR = 1 << 80
"""Later than any time: the progress of a stream that has ended."""

Entry: TypeAlias = tuple[int, int, Packet, int, int, int]
"""(first, index, packet, last, anchor, sample): the times that place it in windows - the middles of its first and last
sample, or its timestamp twice; its number among the packets taken; and of audio its place on the stream's lattice."""

_first = itemgetter(0)


@dataclass(slots=True)
class Counters:
    """What became of the packets of one stream: received = admitted + late + refused, at every moment.

    Attributes:
        received: packets pushed.
        admitted: taken into at least one window.
        late: behind the stream's own bound, or all their windows were closed.
        refused: not taken note of at all; a replay skips them.
        trimmed: samples that admitted packets lost because they lay behind the stream's bound.
    """

    received: int = 0
    admitted: int = 0
    late: int = 0
    refused: int = 0
    trimmed: int = 0


class Intake:
    """What one stream may bring and has brought.

    `progress`: nothing older is taken; it falls only when the stream, ended, is opened again. `taken`: how many packets
    and Gaps have passed. `gaps`: each with its number among the taken and the progress that it met.
    """

    __slots__ = (
        "_anchor", "_join_at", "_joins", "_longest", "_rate", "_reached", "bound", "closed", "counters", "entries",
        "gaps", "holds", "name", "progress", "taken",
    )  # fmt: skip

    def __init__(self, name: str, time: StreamTime, joins: list[tuple[int, int]] | None = None) -> None:
        self.name = name
        self.bound = time.bound
        self.holds = time.holds
        self.progress = UNSEEN
        self.taken = 0
        self.closed = False
        self.counters = Counters()
        self.entries: list[Entry] = []  # ordered by (first, index)
        self.gaps: list[tuple[Gap, int, int]] = []
        self._longest = 0  # from first to last, of the entries
        self._reached = UNSEEN  # progress when it was closed
        self._anchor = 0
        self._rate = 0
        self._joins = list(reversed(joins or ()))  # (count, floor): after `count` the progress is at least `floor`
        self._join_at = FAR
        self._next_join()

    def examine(self, packet: Packet) -> Entry | None:
        """What of `packet` is not behind the stream's own progress, or None; nothing is noted yet.

        An audio packet must have at least one sample and a positive rate.
        """
        timestamp = packet.timestamp
        rate = packet.rate
        if rate is None:
            return None if timestamp < self.progress else (timestamp, self.taken, packet, timestamp, 0, 0)
        count = len(packet.payload)
        anchor, sample = self._locate(timestamp, rate)
        if timestamp < self.progress:
            behind = sample_at(self.progress, anchor, rate) - sample
            if behind >= count:
                return None
            if behind > 0:
                packet = cut_samples(packet, behind, count, anchor, sample)
                sample += behind
                count -= behind
        first = middle_of(sample, anchor, rate)
        return (first, self.taken, packet, middle_of(sample + count - 1, anchor, rate), anchor, sample)

    def take(self, entry: Entry, end: int) -> bool:
        """Note that `entry`, ending at `end`, has passed the stream's own tests; whether the progress moved."""
        rate = entry[2].rate
        if rate is not None:
            self._anchor, self._rate = entry[4], rate
        return self.count(end - self.bound)

    def count(self, progress: int) -> bool:
        """Count one packet or Gap as taken and promise `progress`; whether it moved."""
        self.taken += 1
        moved = progress > self.progress
        if moved:
            self.progress = progress
        return (self._next_join() or moved) if self.taken == self._join_at else moved

    def promise(self, progress: int) -> bool:
        """Nothing older than `progress` is taken from now on; whether that is news."""
        if progress <= self.progress:
            return False
        self.progress = progress
        return True

    def close(self) -> None:
        """The stream has ended: nobody waits for it."""
        if not self.closed:
            self.closed, self._reached, self.progress = True, self.progress, FAR

    def reopen(self) -> None:
        """The stream goes on where it had ended."""
        if self.closed:
            self.closed, self.progress = False, self._reached

    def store(self, entry: Entry) -> None:
        """Keep `entry` for the windows."""
        entries = self.entries
        if not entries or entry[0] >= entries[-1][0]:
            entries.append(entry)
        else:
            insort(entries, entry)
        if entry[3] - entry[0] > self._longest:  # noqa: PLR1730 - once a packet, and max() costs more
            self._longest = entry[3] - entry[0]

    def earliest(self, start: int) -> int | None:
        """The first time from `start` on at which something is kept."""
        entries = self.entries
        for i in range(bisect_left(entries, start - self._longest, key=_first), len(entries)):
            if entries[i][3] >= start:
                return max(entries[i][0], start)
        return None

    def between(self, start: int, end: int, through: int = FAR) -> tuple[Packet, ...]:
        """What of the first `through` packets taken lies in [start, end), in time order, audio cut to the sample."""
        entries = self.entries
        begin = bisect_left(entries, start - self._longest, key=_first)
        stop = bisect_left(entries, end, key=_first)
        if begin == stop:
            return ()
        if self._longest == 0 and through == FAR:
            return tuple([entry[2] for entry in entries[begin:stop]])
        picked = []
        for first, index, packet, last, anchor, sample in entries[begin:stop]:
            if last < start or index >= through:
                continue
            if first >= start and last < end:
                picked.append(packet)
                continue
            rate = packet.rate or SECOND
            lowest = max(sample_at(start, anchor, rate) - sample, 0)
            highest = min(sample_at(end, anchor, rate) - sample, len(packet.payload))
            if lowest < highest:
                picked.append(cut_samples(packet, lowest, highest, anchor, sample))
        return tuple(picked)

    def gaps_between(self, start: int, end: int, through: int = FAR) -> list[Gap]:
        """Known losses in [start, end), told before the stream had passed `end`, cut to it."""
        return [
            Gap(gap.stream, max(gap.start, start), min(gap.end, end), gap.reason)
            for gap, index, met in self.gaps
            if gap.start < end and max(gap.end, gap.start + 1) > start and index < through and met < end
        ]

    def drop_before(self, start: int) -> list[Entry]:
        """Forget what lies before `start`, which no window will ask for again; the entries forgotten."""
        entries = self.entries
        stop = 0
        for entry in entries:
            if entry[3] >= start:
                break
            stop += 1
        dropped = entries[:stop]
        del entries[:stop]
        if not entries:
            self._longest = 0
        if self.gaps:
            self.gaps = [kept for kept in self.gaps if max(kept[0].end, kept[0].start + 1) > start]
        return dropped

    def _locate(self, timestamp: int, rate: int) -> tuple[int, int]:
        """Place of a packet on the stream's lattice: an anchor, and the number of its first sample from there.

        Sources floor each packet's timestamp. Seen from the packet, an edge could then fall on either side of a middle,
        depending on where the chunks begin; seen from one anchor it cannot. A packet that lies off the lattice by more
        than a nanosecond begins a new one.
        """
        if rate == self._rate:
            offset = timestamp - self._anchor
            sample = (2 * offset * rate + SECOND) // (2 * SECOND)
            if -1 <= offset - sample * SECOND // rate <= 1:
                return self._anchor, sample
        return timestamp, 0

    def _next_join(self) -> bool:
        moved = False
        while self._joins and self._joins[-1][0] == self.taken:
            moved |= self.promise(self._joins.pop()[1])
        self._join_at = self._joins[-1][0] if self._joins else FAR
        return moved
