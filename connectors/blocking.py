"""Blocking code as an asynchronous iterator: how files and devices keep the event loop free.

`in_thread` is for files: a generator runs in one thread of its own, a step at a time and only when asked, so that what it
opens is used and closed by that thread alone and nothing is read ahead of need. `from_thread` is for devices: a function
runs by itself and puts what it has into an outlet.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

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


class Outlet(Generic[Item]):
    """The way out of a thread: what `from_thread` gives to the function it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: int) -> None:
        self._loop = loop
        self._room = threading.Semaphore(ahead)
        self._closed = threading.Event()
        self._items: asyncio.Queue[Item | _End] = asyncio.Queue()

    @property
    def closed(self) -> bool:
        """Whether nobody reads any more."""
        return self._closed.is_set()

    def put(self, item: Item) -> bool:
        """Hand one item over; blocks while too many wait, and returns False once nobody reads any more."""
        self._room.acquire()
        return self._hand_over(item)

    def _hand_over(self, item: Item | _End) -> bool:
        if self._closed.is_set():
            return False
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the loop is closed
            return False
        return True

    async def _get(self) -> Item | _End:
        item = await self._items.get()
        self._room.release()
        return item

    def _close(self) -> None:
        self._closed.set()
        self._room.release()


class _End:
    """The thread is done, or failed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


async def from_thread(
    run: Callable[[Outlet[Item]], None], *, stop: Callable[[], None] | None = None, ahead: int = 64
) -> AsyncGenerator[Item, None]:
    """What `run` puts into its outlet, from a daemon thread of its own: for devices that block as long as they like.

    On closing `stop` is called (it must wake `run` up), and the thread is waited for, for at most two seconds; one that
    hangs in a driver is left behind. Errors of `run` are raised here.
    """
    outlet: Outlet[Item] = Outlet(asyncio.get_running_loop(), ahead)

    def body() -> None:
        error: Exception | None = None
        try:
            run(outlet)
        except Exception as caught:
            error = caught
        outlet._hand_over(_End(error))

    thread = threading.Thread(target=body, name="source", daemon=True)
    thread.start()
    try:
        while not isinstance(item := await outlet._get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        outlet._close()
        if stop is not None:
            stop()
        await asyncio.to_thread(thread.join, _CLOSING_SECONDS)
