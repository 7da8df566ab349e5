"""Keep: moments become durable in the store, in order; what is handed on is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing

from pipelines.clock import Clock
from pipelines.moment import Moment
from pipelines.ordered import ordered
from pipelines.stages.encode import EncodedWindow
from pipelines.store import Clip, Store

Clips = Mapping[str, Clip]


async def keep(
    moments: AsyncIterator[tuple[EncodedWindow, Moment]],
    *,
    store: Store,
    clips: Callable[[EncodedWindow], Clips],
    clock: Clock,
    executor: Executor,
    max_in_flight: int,
) -> AsyncGenerator[Moment, None]:
    """Puts are begun in order and wait for each other's commit, so that one sync to disk serves all that came meanwhile.

    `clips` makes the thumbnails and sounds that go with a moment, in a worker thread. A moment's age when it was put,
    which differs from run to run, travels in its headers.
    """

    async def clip(item: tuple[EncodedWindow, Moment]) -> tuple[Moment, Clips]:
        encoded, moment = item
        return moment, await asyncio.get_running_loop().run_in_executor(executor, clips, encoded)

    async def put(item: tuple[Moment, Clips]) -> Moment:
        moment, made = item
        headers = {"age": str(max(clock.now() - moment.end, 0))}
        await asyncio.wrap_future(store.put(moment, made, headers))
        return moment

    async with (
        aclosing(ordered(moments, clip, max_in_flight)) as clipped,
        aclosing(ordered(clipped, put, max_in_flight)) as stored,
    ):
        async for moment in stored:
            yield moment
