"""Work on several items at once, results in order: the shell that the compute stages share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_END = object()


async def ordered(
    items: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, R]], limit: int
) -> AsyncGenerator[R, None]:
    """`work` of each item, at most `limit` under way, results in the order of the items.

    Backpressure: no further item is taken while `limit` results wait. The first exception ends it; the rest is cancelled.
    """

    async def following() -> Any:
        return await anext(items, _END)

    running: deque[asyncio.Task[R]] = deque()
    coming: asyncio.Task[Any] | None = None
    more = True
    try:
        while more or running:
            if more and coming is None and len(running) < limit:
                coming = asyncio.create_task(following())
            if running and running[0].done():
                yield running.popleft().result()
                continue
            awaited: set[asyncio.Task[Any]] = {task for task in (coming, running[0] if running else None) if task}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if coming is not None and coming.done():
                item, coming = coming.result(), None
                if item is _END:
                    more = False
                else:
                    running.append(asyncio.create_task(work(item)))
    finally:
        left = [task for task in (coming, *running) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
