"""Keep: moments become durable in the store, in order; what is handed on is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Executor

from pipelines.clock import Clock
from pipelines.moment import Moment
from pipelines.ordered import ordered
from pipelines.stages.encode import EncodedWindow
from pipelines.store import Clip, Store


def keep(
    moments: AsyncIterator[tuple[EncodedWindow, Moment]],
    *,
    store: Store,
    clips: Callable[[EncodedWindow], Mapping[str, Clip]],
    clock: Clock,
    executor: Executor,
    max_in_flight: int,
) -> AsyncGenerator[Moment, None]:
    """Puts wait for each other's commit, so that one sync to disk serves all that came meanwhile.

    `clips` makes the thumbnails and sounds that go with a moment, in a worker thread. A moment's age when it was put,
    which differs from run to run, travels in its headers.
    """

    async def one(item: tuple[EncodedWindow, Moment]) -> Moment:
        encoded, moment = item
        made = await asyncio.get_running_loop().run_in_executor(executor, clips, encoded)
        headers = {"age": str(max(clock.now() - moment.end, 0))}
        await asyncio.wrap_future(store.put(moment, made, headers))
        return moment

    return ordered(moments, one, max_in_flight)
