"""How far event time has come, over streams of which some sleep.

The rules are those of Flink's watermark valve: the combined watermark is the minimum over the streams that are active
and aligned; an idle stream is left out; one that wakes is left out until it has reached what was last put out; the
result never falls. One rule is simpler here: when all are idle, the value becomes the highest of all, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNSEEN = -(1 << 80)
"""Earlier than any time: the progress of a stream that has sent nothing."""


@dataclass(frozen=True, slots=True)
class StreamTime:
    """What one stream is allowed.

    Attributes:
        bound: disorder it may have, ns; what is older than its newest end minus `bound` is late.
        idle_after: silence after which nobody waits for it, ns; None takes the default of its group.
        holds: whether windows wait for it at all; a stream that does not hold may still revise them once.
    """

    bound: int = 0
    idle_after: int | None = None
    holds: bool = True


class _Channel:
    __slots__ = ("aligned", "bound", "closed", "idle", "idle_after", "progress", "seen")

    def __init__(self, bound: int, idle_after: int | None) -> None:
        self.bound = bound
        self.idle_after = idle_after
        self.progress = UNSEEN
        self.seen: int | None = None  # None: opens at the first `now`
        self.idle = False
        self.aligned = True  # implies active and open
        self.closed = False


class Watermarks:
    """The combined watermark of several streams; never falls.

    `streams` are names, or names with a StreamTime each, whose None leaves `idle_after` to the default given here
    (`holds` does not matter here: give it only streams that hold). Each method returns the combined watermark where
    it moved, else None.
    """

    def __init__(
        self, streams: Iterable[str] | Mapping[str, StreamTime], *, bound: int = 0, idle_after: int | None = None
    ) -> None:
        times = streams if isinstance(streams, Mapping) else dict.fromkeys(streams, StreamTime(bound))
        self._idle_after = idle_after
        self._channels: dict[str, _Channel] = {}
        for name, time in times.items():
            self._channels[name] = _Channel(time.bound, idle_after if time.idle_after is None else time.idle_after)
        self._started = False
        self._value = UNSEEN

    @property
    def value(self) -> int | None:
        """The combined watermark, ns; None before there was one."""
        return None if self._value == UNSEEN else self._value

    def observe(self, stream: str, timestamp: int, now: int) -> int | None:
        """`stream` has shown event time `timestamp`, be it older than what it showed before; it is awake."""
        channel = self._channel(stream)
        if not self._started:
            self._start(now)
        if channel.closed:
            raise ValueError(f"stream {stream!r} is closed; open it before it is observed")
        channel.seen = now
        before = channel.progress
        progress = timestamp - channel.bound
        if progress > before:
            channel.progress = progress
        if channel.aligned:
            # Only the stream that held the watermark back can move it.
            return None if progress <= before or before > self._value else self._update()
        channel.idle = False
        if channel.progress < self._value:
            return None
        channel.aligned = True
        return self._update()

    def mark_idle(self, stream: str) -> int | None:
        """Stop waiting for `stream` until it is observed again."""
        channel = self._channel(stream)
        if channel.closed or channel.idle:
            return None
        channel.idle, channel.aligned = True, False
        return self._update()

    def tick(self, now: int) -> int | None:
        """Mark idle who has been silent for its `idle_after`, since its last sign or since it was opened."""
        if not self._started:
            self._start(now)
        fell_asleep = False
        for channel in self._channels.values():
            if channel.idle or channel.closed or channel.idle_after is None or channel.seen is None:
                continue
            if now - channel.seen >= channel.idle_after:
                channel.idle, channel.aligned = True, False
                fell_asleep = True
        return self._update() if fell_asleep else None

    def open(self, stream: str, now: int) -> None:
        """Add a stream, or one that was closed again; it counts once it has reached the present value."""
        channel = self._channels.get(stream)
        if channel is None:
            channel = self._channels[stream] = _Channel(0, self._idle_after)
        elif not channel.closed:
            return
        channel.seen = now
        channel.idle, channel.closed = False, False
        channel.aligned = channel.progress >= self._value

    def close(self, stream: str) -> int | None:
        """Never wait for `stream` again. After the last one the value is the highest of all."""
        channel = self._channel(stream)
        channel.closed, channel.idle, channel.aligned = True, False, False
        return self._update()

    def counts(self, stream: str) -> bool:
        """Whether `stream` takes part in the minimum: open, active and aligned."""
        return self._channel(stream).aligned

    def _channel(self, stream: str) -> _Channel:
        try:
            return self._channels[stream]
        except KeyError:
            raise ValueError(f"unknown stream {stream!r}; known are {sorted(self._channels)}") from None

    def _start(self, now: int) -> None:
        self._started = True
        for channel in self._channels.values():
            if channel.seen is None:
                channel.seen = now

    def _update(self) -> int | None:
        channels = self._channels.values()
        lowest: int | None = None
        for channel in channels:  # once a packet: a loop costs a third of min() over a list
            if channel.aligned and (lowest is None or channel.progress < lowest):
                lowest = channel.progress
        if lowest is not None:
            value = lowest
        elif all(channel.idle or channel.closed for channel in channels):
            value = max((channel.progress for channel in channels), default=UNSEEN)
        else:  # those awake have still to reach the present value
            return None
        if value <= self._value:
            return None
        self._value = value
        return value
