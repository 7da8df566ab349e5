"""Words from standard input."""

from __future__ import annotations

import os
import select
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from connectors.blocking import Outlet, from_thread
from connectors.sources._lines import GRAMMAR, TimedLines, decode
from connectors.sources._times import instant
from pipelines.clock import Clock
from pipelines.errors import SourceError
from pipelines.packet import SECOND, Bound, Event, Gap, Packet
from pipelines.protocols import Overflow

_PIECE = 2**16


class StdinText:
    """Lines of standard input, each one text.

    A line happens when it arrives. While nothing arrives a Bound every `heartbeat` says so, and silence advances time. With
    `timed` a line carries its own time instead (the grammar of the `text` source), input waits where the stream is slower,
    and there are no Bounds, for nobody knows what is still to come.

    Empty lines are passed over; a line over `max_bytes` becomes a Gap; bytes that are no UTF-8 become U+FFFD. `skipped`
    counts them by reason. Ends with its input. One pass only, as input cannot be read twice.

    Options:
        timed: whether lines carry their own time.
        start: what the seconds of timed lines count from: nanoseconds since the epoch, or ISO 8601.
        heartbeat: how long a silence is told, nanoseconds.
        max_bytes: the longest line.
        descriptor: the file descriptor to read; 0 is standard input.
    """

    overflow: Overflow

    def __init__(
        self,
        stream: str,
        *,
        clock: Clock,
        timed: bool = False,
        start: int | str = 0,
        heartbeat: int = SECOND,
        max_bytes: int = 2**20,
        descriptor: int = 0,
    ) -> None:
        self.stream = stream
        self.overflow = "block" if timed else "drop_oldest"
        self._clock = clock
        self._timed = timed
        self._heartbeat = heartbeat
        self._max_bytes = max_bytes
        self._descriptor = descriptor
        self._too_long = False
        if heartbeat <= 0:
            raise SourceError(f"{stream}: `heartbeat` must be above 0, got {heartbeat}")
        try:
            self._lines = TimedLines(stream, start=instant(start), max_bytes=max_bytes)
        except ValueError as error:
            raise SourceError(f"{stream}: `start` {error}") from error

    @property
    def skipped(self) -> Counter[str]:
        """Why lines gave no packet, or not quite the one that was meant, and how often."""
        return self._lines.skipped

    async def events(self) -> AsyncGenerator[Event, None]:
        """Packets, Bounds and Gaps. Raises SourceError where input cannot be read, or is timed and no line has a time."""
        woken, waker = os.pipe()

        def stop() -> None:
            with suppress(OSError):
                os.write(waker, b"x")

        def read(outlet: Outlet[Event]) -> None:
            self._read(outlet, woken)

        try:
            async with aclosing(from_thread(read, stop=stop)) as lines:
                async for event in lines:
                    yield event
        finally:
            os.close(waker)  # the reading end belongs to the thread, which may still look at it

    def _read(self, outlet: Outlet[Event], woken: int) -> None:
        """The thread: waits for input, for the waker, or for the next heartbeat."""
        rest = b""
        try:
            while True:
                timeout = None if self._timed else self._heartbeat / SECOND
                ready, _, _ = select.select([self._descriptor, woken], [], [], timeout)
                if woken in ready:
                    return
                now = self._clock.now()
                if not ready:
                    outlet.put(Bound(self.stream, now))
                    continue
                data = os.read(self._descriptor, _PIECE)
                if self._too_long and data and b"\n" not in data:
                    continue
                *lines, rest = (rest + data).split(b"\n")
                if not data and rest:
                    lines, rest = [rest], b""
                if len(rest) > self._max_bytes:  # the beginning is enough to say what is lost
                    self._too_long = True
                    rest = rest[: self._max_bytes + 1]
                for line in lines:
                    event = self._event(line.rstrip(b"\r"), now)
                    if event is not None and not outlet.put(event):
                        return
                if not data:
                    break
        except OSError as error:
            raise SourceError(f"{self.stream}: input cannot be read: {error.strerror or error}") from error
        finally:
            os.close(woken)
        if self._timed and self._lines.first_fault and not self._lines.sent:
            raise SourceError(
                f"{self.stream}: input has no line that can be read; {self._lines.first_fault}; {GRAMMAR}"
            )

    def _event(self, line: bytes, now: int) -> Event | None:
        long, self._too_long = self._too_long or len(line) > self._max_bytes, False
        if self._timed:
            return self._lines.read(line, whole=not long)
        if long:
            self.skipped["too long"] += 1
            return Gap(self.stream, now, now + 1, f"text is over the limit of {self._max_bytes} bytes")
        text = decode(line, self.skipped)
        if not text.strip():
            return None
        packet = Packet(self.stream, "text", now, text, None, self._lines.sent)
        self._lines.sent += 1
        return packet
