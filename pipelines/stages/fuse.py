"""Fuse: encoded windows in, moments out, in order, in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Executor

from pipelines.moment import Moment, make_moment
from pipelines.ordered import ordered
from pipelines.protocols import Mind
from pipelines.stages.encode import EncodedWindow


def fuse(
    windows: AsyncIterator[EncodedWindow], mind: Mind, executor: Executor, max_in_flight: int
) -> AsyncGenerator[tuple[EncodedWindow, Moment], None]:
    """Each window becomes a moment, whose content depends on that window alone."""

    def understand(item: EncodedWindow) -> tuple[EncodedWindow, Moment]:
        [fused] = mind.fuse([item.encoded])
        return item, make_moment(item.window, item.chosen, item.encoded, fused, mind.fingerprint)

    async def one(item: EncodedWindow) -> tuple[EncodedWindow, Moment]:
        return await asyncio.get_running_loop().run_in_executor(executor, understand, item)

    return ordered(windows, one, max_in_flight)
