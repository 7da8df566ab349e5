"""Reading ahead: the shell that the compute stages share. Upstream goes on while a stage works on what it has."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Ahead(Generic[T, R]):
    """Takes `items` in a task of its own, calls `begin` on each at once, and holds at most `limit` results.

    Use as an async context manager; one reader. A failure of `items` or `begin` reaches the reader behind everything that
    came before it.
    """

    def __init__(self, items: AsyncIterator[T], begin: Callable[[T], R], limit: int) -> None:
        self._items = items
        self._begin = begin
        self._limit = limit
        self._held: deque[R] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def next(self) -> R | None:
        """The next result, None at the end."""
        if not self._held and not await self._some():
            return None
        self._room.set()
        return self._held.popleft()

    async def all(self) -> list[R]:
        """Everything that waits, in order: one result at least, none at the end."""
        if not self._held and not await self._some():
            return []
        taken = list(self._held)
        self._held.clear()
        self._room.set()
        return taken

    async def __aenter__(self) -> Ahead[T, R]:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _some(self) -> bool:
        assert self._task is not None
        while not self._held and not self._task.done():
            self._arrived.clear()
            await self._arrived.wait()
        if not self._held:
            self._task.result()  # raises what ended it, if anything did
        return bool(self._held)

    async def _read(self) -> None:
        held = self._held
        try:
            async for item in self._items:
                held.append(self._begin(item))
                self._arrived.set()
                while len(held) >= self._limit:
                    self._room.clear()
                    await self._room.wait()
        finally:
            # The reader must find the task done, and it is not before this has returned.
            asyncio.get_running_loop().call_soon(self._arrived.set)
