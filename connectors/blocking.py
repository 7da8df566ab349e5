"""A blocking generator as an asynchronous one: how file readers keep the event loop free.

The generator runs in one thread of its own, a step at a time and only when asked, so that what it opens is used and closed
by that thread alone and nothing is read ahead of need.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

_CLOSING_SECONDS = 2.0


async def in_thread(steps: Callable[[], Generator[Sequence[Item], None, None]]) -> AsyncGenerator[Item, None]:
    """The items of the batches that `steps()` yields, in order.

    A step should take milliseconds: a cancellation returns at once, but what the generator holds is closed only when its step
    is done (waited for at most two seconds). Errors of the generator are raised here.
    """
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(1, thread_name_prefix="source")
    generator = steps()
    try:
        while (batch := await loop.run_in_executor(worker, next, generator, None)) is not None:
            for item in batch:
                yield item
    finally:
        closed = loop.run_in_executor(worker, generator.close)
        worker.shutdown(wait=False)
        await asyncio.wait([closed], timeout=_CLOSING_SECONDS)
