"""Keep: moments become durable in the store, in order; what is handed on is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future

from pipelines.ahead import Ahead
from pipelines.clock import Clock
from pipelines.moment import Moment
from pipelines.stages.encode import EncodedWindow
from pipelines.store import Clip, Store, Stored


async def keep(
    moments: AsyncIterator[tuple[EncodedWindow, Moment]],
    *,
    store: Store,
    clips: Callable[[EncodedWindow], Mapping[str, Clip]],
    clock: Clock,
    executor: Executor,
    max_in_flight: int,
) -> AsyncGenerator[Moment, None]:
    """What comes while one sync to disk is under way shares the next.

    `clips` makes the thumbnails and sounds that go with a moment, in a worker thread; there the moments get their bytes
    too. A moment's age when it was put, which differs from run to run, travels in its headers.
    """

    def put(items: Sequence[tuple[EncodedWindow, Moment]]) -> list[Future[Stored | None]]:
        return [
            store.put(moment, clips(encoded), {"age": str(max(clock.now() - moment.end, 0))})
            for encoded, moment in items
        ]

    loop = asyncio.get_running_loop()
    async with Ahead(moments, lambda item: item, max_in_flight) as waiting:
        while items := await waiting.all():
            written = await loop.run_in_executor(executor, put, items)
            await asyncio.wait([asyncio.wrap_future(written[-1])])  # the store resolves puts in their order
            for future, (_, moment) in zip(written, items, strict=True):
                future.result()
                yield moment
