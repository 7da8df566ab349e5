"""The runner: windows to moments. Whatever fails behind the merge ends the run, after everything in it was closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from typing import TypeAlias

from pipelines.batch import MAX_BATCH, Batcher
from pipelines.group import Group
from pipelines.moment import Moment
from pipelines.protocols import Mind
from pipelines.stages.encode import EncodedWindow, encode
from pipelines.stages.fuse import fuse

MODALITIES = ("image", "audio", "text")

Keep: TypeAlias = Callable[[AsyncIterator[tuple[EncodedWindow, Moment]]], AsyncGenerator[Moment, None]]


class Runner:
    """One group of streams, from its sources to its moments.

    Args:
        keep: the last stage: makes moments durable and hands them on.
        max_in_flight: windows under way in each compute stage.
        max_batch: packets of one modality encoded together.
    """

    def __init__(
        self, *, group: Group, mind: Mind, keep: Keep, max_in_flight: int = 64, max_batch: int = MAX_BATCH
    ) -> None:
        self.group = group
        self.moments = 0
        self.batchers: dict[str, Batcher] = {}
        self._mind = mind
        self._keep = keep
        self._max_in_flight = max_in_flight
        self._max_batch = max_batch

    async def run(self, on_moment: Callable[[Moment], Awaitable[None] | None] = lambda moment: None) -> None:
        """Until every source has ended, or `stop` was called; then everything held is understood and kept first."""
        async with AsyncExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(len(MODALITIES) + 1, "mind"))
            for modality in MODALITIES:
                batcher = Batcher(self._mind.encode, executor=executor, max_batch=self._max_batch)
                self.batchers[modality] = await stack.enter_async_context(batcher)
            windows = await stack.enter_async_context(self.group.windows())
            encoded = encode(windows, self.batchers, self._max_in_flight)
            await stack.enter_async_context(aclosing(encoded))
            moments = fuse(encoded, self._mind, executor, self._max_in_flight)
            await stack.enter_async_context(aclosing(moments))
            async for moment in await stack.enter_async_context(aclosing(self._keep(moments))):
                self.moments += 1
                told = on_moment(moment)
                if told is not None:
                    await told

    def stop(self) -> None:
        """End the watching; what has arrived is still aligned, understood and kept. May be called more than once."""
        self.group.stop()
