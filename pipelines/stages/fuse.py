"""Fuse: encoded windows in, moments out, in order, in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor

from pipelines.ahead import Ahead
from pipelines.moment import Moment, make_moment
from pipelines.protocols import Mind
from pipelines.stages.encode import EncodedWindow


async def fuse(
    windows: AsyncIterator[EncodedWindow], mind: Mind, executor: Executor, max_in_flight: int
) -> AsyncGenerator[tuple[EncodedWindow, Moment], None]:
    """Each window becomes a moment, whose content depends on that window alone. What waits goes to the thread together."""

    def understand(items: Sequence[EncodedWindow]) -> list[tuple[EncodedWindow, Moment]]:
        fused = mind.fuse([item.encoded for item in items])
        return [
            (item, make_moment(item.window, item.chosen, item.encoded, result, mind.fingerprint))
            for item, result in zip(items, fused, strict=True)
        ]

    loop = asyncio.get_running_loop()
    async with Ahead(windows, lambda item: item, max_in_flight) as waiting:
        while items := await waiting.all():
            for understood in await loop.run_in_executor(executor, understand, items):
                yield understood
