"""The bounded queue between those who put and the one thread that writes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import StoreError


@dataclass(slots=True, eq=False)
class Job:
    """One thing to do inside a transaction; `nbytes` > 0 marks a put, which the bounds and the disk budget concern."""

    run: Callable[[sqlite3.Connection], Any]
    nbytes: int = 0
    future: Future[Any] = field(default_factory=Future)


class JobQueue:
    """Puts in order, bounded in number and bytes; the few small jobs that are no puts go ahead of them, unbounded."""

    def __init__(self, *, items: int, nbytes: int) -> None:
        self._limit_items = items
        self._limit_bytes = nbytes
        self._changed = threading.Condition()
        self._small: deque[Job] = deque()
        self._puts: deque[Job] = deque()
        self._held_items = 0
        self._held_bytes = 0
        self._refusal: StoreError | None = None

    def add(self, job: Job, timeout: float | None = None) -> None:
        """Append, blocking the caller while a put finds the queue full. Raises StoreError once closed, or at `timeout` s."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while job.nbytes and self._refusal is None and self._full(job.nbytes):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise StoreError(f"the store took nothing for {timeout} s; its queue of {self._held_items} is full")
                self._changed.wait(left)
            if self._refusal is not None:
                raise self._refusal
            if job.nbytes:
                self._held_items += 1
                self._held_bytes += job.nbytes
                self._puts.append(job)
            else:
                self._small.append(job)
            self._changed.notify_all()

    def take(self, *, puts: bool) -> Job | None:
        """The next job, or None; without `puts` only a small one. A put counts as held until `done`."""
        with self._changed:
            if self._small:
                return self._small.popleft()
            return self._puts.popleft() if puts and self._puts else None

    def wait(self, seconds: float, *, puts: bool) -> None:
        """Return when there is something to take, when the queue was closed, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._small or (puts and self._puts) or self._refusal is not None, timeout=seconds
            )

    def done(self, job: Job) -> None:
        """Give back the room a put held."""
        if job.nbytes:
            with self._changed:
                self._held_items -= 1
                self._held_bytes -= job.nbytes
                self._changed.notify_all()

    def close(self, reason: StoreError) -> None:
        """Take nothing more; whoever is blocked in `add` gets `reason`. What is queued can still be taken."""
        with self._changed:
            if self._refusal is None:
                self._refusal = reason
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._refusal is not None

    @property
    def held(self) -> tuple[int, int]:
        """Puts that are not yet committed, and their bytes."""
        with self._changed:
            return self._held_items, self._held_bytes

    def _full(self, nbytes: int) -> bool:
        if self._held_items == 0:
            return False  # one item larger than the bound still passes, alone
        return self._held_items >= self._limit_items or self._held_bytes + nbytes > self._limit_bytes
