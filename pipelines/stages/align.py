"""Align: events in, windows out. All decisions are the Windower's; this shell tells it the time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from pipelines.clock import Clock
from pipelines.merge import Close, Merged, Tick
from pipelines.packet import Bound, Packet
from pipelines.window import Window, Windower


async def align(
    events: AsyncIterable[Merged], windower: Windower, clock: Clock, since: int | None = None
) -> AsyncGenerator[Window, None]:
    """Windows as the Windower decides them; the end of `events` closes the rest.

    Windows that begin before `since` (ns) are dropped: a live run saw only a part of them, and an earlier run may have
    stored the better one.
    """
    async for event in events:
        now = clock.now()
        if isinstance(event, Packet):
            windows = windower.push(event, now)
        elif isinstance(event, Bound):
            windows = windower.advance(event.stream, event.timestamp, now)
        elif isinstance(event, Tick):
            windows = windower.tick(now)
        elif isinstance(event, Close):
            windows = windower.close(event.stream)
        else:
            windows = windower.gap(event, now)
        for window in windows:
            if since is None or window.start >= since:
                yield window
    for window in windower.close():
        if since is None or window.start >= since:
            yield window
