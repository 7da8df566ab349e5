"""Pace: a replay at a chosen multiple of real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

from pipelines.clock import Clock
from pipelines.merge import Merged
from pipelines.packet import SECOND, Packet


async def pace(events: AsyncIterable[Merged], clock: Clock, speed: float) -> AsyncGenerator[Merged, None]:
    """Hold each packet until its event time, `speed` times as fast as it happened; what is out of order passes at once."""
    begun: tuple[int, int] | None = None
    async for event in events:
        if isinstance(event, Packet):
            now = clock.now()
            if begun is None:
                begun = (event.timestamp, now)
            wait = (event.timestamp - begun[0]) / speed - (now - begun[1])
            if wait > 0:
                await asyncio.sleep(wait / SECOND)
        yield event
