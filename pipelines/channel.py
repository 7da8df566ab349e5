"""A bounded channel between one source and the merge: items, bytes and age; the only place where anything is dropped.

    received = sent + dropped + in_flight

holds at every moment. What is dropped leaves a Gap in its place, so that the loss is seen downstream and in the recording.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TypeAlias

from pipelines.clock import Clock
from pipelines.packet import SECOND, Bound, Event, Gap, Packet
from pipelines.protocols import Overflow


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """How much one stream may hold in front of the merge. `age` (ns) is what a dropping policy tolerates."""

    items: int = 256
    bytes: int = 64 * 1024 * 1024
    age: int = 5 * SECOND


@dataclass(slots=True)
class ChannelCounts:
    """What went through, in events; `dropped` by reason."""

    received: int = 0
    sent: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


_Held: TypeAlias = tuple[Event, int, int, int, bool]
"""(event, nbytes, arrival, number, loss), a plain tuple because one is made for every packet. `loss`: a Gap of our own
making, in the place of what was dropped; not counted."""


class Arrivals:
    """Numbers every arrival of a group in one order, and wakes the merge; shared by the group's channels."""

    def __init__(self) -> None:
        self.count = 0
        self.event = asyncio.Event()


class Channel:
    """Single producer, single consumer, one event loop. Use `put` from the source's task, `take` from the merge.

    A single item larger than `limits.bytes` is let through when the channel is empty: it is the source's task to refuse it.
    """

    def __init__(
        self,
        stream: str,
        *,
        overflow: Overflow,
        clock: Clock,
        limits: ChannelLimits | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self.stream = stream
        self.overflow = overflow
        self.limits = limits or ChannelLimits()
        self.counts = ChannelCounts()
        self.closed = False
        self.ended = False
        self._clock = clock
        self._arrivals = arrivals or Arrivals()
        self._held: deque[_Held] = deque()
        self._losses = 0
        self._nbytes = 0
        self._room = asyncio.Event()
        self._wanted = False  # somebody waits for room

    @property
    def in_flight(self) -> int:
        """Events held now."""
        return len(self._held) - self._losses

    @property
    def nbytes(self) -> int:
        """Payload bytes held now."""
        return self._nbytes

    @property
    def head(self) -> int | None:
        """Arrival number of what `take` would return, None where there is nothing."""
        return self._held[0][3] if self._held else None

    @property
    def age(self) -> int:
        """How long the oldest held event has waited, ns; a Gap that stands for what was dropped is none."""
        return self._clock.now() - self._oldest()[2] if self.in_flight else 0

    async def put(self, event: Event) -> None:
        """Hand over one event; waits only under `block`. Raises RuntimeError once closed."""
        while not self.offer(event):
            self._room.clear()
            self._wanted = True
            await self._room.wait()

    def offer(self, event: Event) -> bool:
        """Hand over one event, unless that had to wait. Raises RuntimeError once closed."""
        if self.closed:
            raise RuntimeError(f"the channel of {self.stream} is closed")
        nbytes = event.nbytes if isinstance(event, Packet) else 0
        blocks = self.overflow == "block"
        if blocks and self._full(nbytes):
            return False
        arrivals = self._arrivals
        arrivals.count += 1
        self.counts.received += 1
        held = (event, nbytes, self._clock.now(), arrivals.count, False)
        if not blocks:
            self._expire(held[2])
            if not self._make_room(nbytes):
                self._lose(held, "full", at_head=False)
                return True
        self._held.append(held)
        self._nbytes += nbytes
        arrivals.event.set()
        return True

    def take(self) -> Event:
        """The next event, or the Gap of what was dropped in its place. Raises IndexError where there is nothing."""
        if self.overflow != "block":
            self._expire(self._clock.now())
        event, nbytes, _, _, loss = self._held.popleft()
        self._nbytes -= nbytes
        if loss:
            self._losses -= 1
        else:
            self.counts.sent += 1
            if self._wanted and self._half_empty():
                self._wanted = False
                self._room.set()
        return event

    def close(self, *, ended: bool = True) -> None:
        """No more will be put; what is held can still be taken. `ended`: the stream itself is over, not just our watching."""
        if not self.closed:
            self.ended = ended
        self.closed = True
        self._room.set()
        self._arrivals.event.set()

    def _half_empty(self) -> bool:
        """Room is told at half, not at every place: the source is woken once for many events."""
        held = self.in_flight
        return not held or (held * 2 <= self.limits.items and self._nbytes * 2 <= self.limits.bytes)

    def _full(self, nbytes: int) -> bool:
        held = len(self._held) - self._losses
        return held > 0 and (held >= self.limits.items or self._nbytes + nbytes > self.limits.bytes)

    def _make_room(self, nbytes: int) -> bool:
        """By dropping what is older; whether there is room now."""
        if self.overflow == "drop_newest":
            return not self._full(nbytes)
        while self._full(nbytes) or (self.overflow == "keep_latest" and self.in_flight):
            self._drop_oldest("superseded" if self.overflow == "keep_latest" else "full")
        return True

    def _expire(self, now: int) -> None:
        while self.in_flight > 1 and now - self._oldest()[2] > self.limits.age:
            self._drop_oldest("too old")

    def _oldest(self) -> _Held:
        return next(held for held in self._held if not held[4])

    def _drop_oldest(self, reason: str) -> None:
        earlier = self._held.popleft() if self._held[0][4] else None
        held = self._held.popleft()
        self._nbytes -= held[1]
        if earlier is not None:
            self._held.appendleft(earlier)
        self._lose(held, reason, at_head=True)

    def _lose(self, held: _Held, reason: str, *, at_head: bool) -> None:
        """Count it, and leave a Gap in its place, merged with its neighbour's; a lost Bound carried no data."""
        self.counts.dropped[reason] += 1
        event, _, arrival, number, _ = held
        if isinstance(event, Bound):
            return
        start, end = (event.timestamp, event.end) if isinstance(event, Packet) else (event.start, event.end)
        end = max(end, start + 1)
        place = 0 if at_head else -1
        beside = self._held[place] if self._held else None
        if beside is not None and beside[4] and isinstance(beside[0], Gap):
            gap = Gap(self.stream, min(start, beside[0].start), max(end, beside[0].end), "dropped")
            self._held[place] = (gap, *beside[1:])
            return
        loss = (Gap(self.stream, start, end, "dropped"), 0, arrival, number, True)
        (self._held.appendleft if at_head else self._held.append)(loss)
        self._losses += 1
        self._arrivals.event.set()
