"""The loop that carries records from the store to the sinks, and the one place where deliveries are tried again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipelines.errors import Reject, Retry, SensoriumError
from pipelines.protocols import Record, Sink
from pipelines.store.store import Store
from pipelines.store.values import MEBIBYTE

CLOSE_SECONDS = 5.0
DRAINING_PAUSE = 1.0  # seconds; the longest pause once the program is to end

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SinkState:
    """How one sink is doing.

    Attributes:
        cursor: last sequence it has; lag: records it has not; lag_seconds: how long the oldest of them waits.
        delivered, retries, rejected: since the outbox began.
        last_error: why the last failed attempt failed; None again after a success.
    """

    cursor: int
    lag: int
    lag_seconds: float
    delivered: int
    retries: int
    rejected: int
    last_error: str | None


class Outbox:
    """Delivers every record to every sink, in order, each sink at its own pace with its own cursor.

    A sink gets a batch again, whole, after Retry or any other failure, following a growing, jittered pause; a rejected
    record becomes a dead letter and the rest goes on. A cursor moves over what a sink acknowledged and nothing else, so
    after a kill a sink may get records again, with the same `ce_id` and the same bytes, and misses none.

    Args:
        batch, batch_bytes: the most records and bytes of bodies in one `write`.
        pause: seconds before the second attempt, and the longest pause it doubles to.
        sleep, jitter: replaced in tests; `jitter` gives a number in [0, 1), a pause is its nominal length × (0.5 + it).
        now: ns since the epoch, for the lag.
    """

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Sink],
        *,
        batch: int = 100,
        batch_bytes: int = 8 * MEBIBYTE,
        pause: tuple[float, float] = (0.1, 30.0),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._lanes = {
            name: _Lane(name, sink, store, batch=(batch, batch_bytes), pause=pause, sleep=sleep, jitter=jitter)
            for name, sink in sinks.items()
        }
        self._now = now
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Deliver until `drain` has finished or this is cancelled. The sinks are closed either way."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake)

        remove = self._store.on_commit(wake)
        try:
            self._tasks = [asyncio.create_task(lane.run(), name=f"outbox {name}") for name, lane in self._lanes.items()]
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            remove()
            for task in self._tasks:
                task.cancel()
            outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.gather(*(_close(lane.sink) for lane in self._lanes.values()))
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def drain(self, within: float | None, *, attempts: int | None = None) -> bool:
        """Deliver what is committed by now, then let `run` end; give up after `within` seconds (None: never).

        A sink that fails `attempts` times on end is given up by itself (None: none is). Whether every sink has everything;
        what is left stays in the store and is delivered by the next run.
        """
        for lane in self._lanes.values():
            lane.drain(attempts)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within)
            for task in late:
                task.cancel()
        states = await asyncio.to_thread(self.state)
        return all(state.lag == 0 for state in states.values())

    def state(self) -> Mapping[str, SinkState]:
        """Every sink by name; reads the store, so call it in a thread from an event loop."""
        return {name: self._state(lane) for name, lane in self._lanes.items()}

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.wake.set()

    def _state(self, lane: _Lane) -> SinkState:
        waiting = self._store.pending(lane.name)
        age = 0.0 if waiting.oldest is None else max(0.0, (self._now() - waiting.oldest) / 1e9)
        cursor = self._store.cursor(lane.name)
        return SinkState(cursor, waiting.items, age, lane.delivered, lane.retries, lane.rejected, lane.last_error)


class _Lane:
    """One sink's part of the outbox."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        store: Store,
        *,
        batch: tuple[int, int],
        pause: tuple[float, float],
        sleep: Callable[[float], Awaitable[object]],
        jitter: Callable[[], float],
    ) -> None:
        self.name = name
        self.sink = sink
        self.wake = asyncio.Event()
        self._draining = asyncio.Event()
        self.delivered = self.retries = self.rejected = 0
        self.last_error: str | None = None
        self._store = store
        self._batch = batch
        self._pause = pause
        self._sleep = sleep
        self._jitter = jitter
        self._failures = 0
        self._attempts: int | None = None  # failures on end that end a draining lane; None: none do
        self._left: int | None = None

    def drain(self, attempts: int | None) -> None:
        """End once nothing waits any more, or after so many failures on end; a pause that is under way ends now."""
        self._attempts = self._left = attempts
        self._draining.set()
        self.wake.set()

    async def run(self) -> None:
        """Until drained. What failed for the last time is in `last_error`."""
        with contextlib.suppress(_GaveUpError):
            await self._run()

    async def _run(self) -> None:
        await self._tried(self._move(0))  # from now on the store knows that this sink waits for records
        while True:
            self.wake.clear()  # before reading: a commit behind the read wakes us again
            batch = await self._tried(self._read())
            if batch:
                await self._tried(self._deliver(batch))
            elif batch is not None:
                if self._draining.is_set():
                    return
                await self.wake.wait()

    async def _read(self) -> list[Record]:
        def read() -> list[Record]:
            return self._store.records(self._store.cursor(self.name), *self._batch)

        return await asyncio.to_thread(read)

    async def _deliver(self, batch: Sequence[Record]) -> None:
        try:
            await self.sink.write(batch)
        except Reject as refusal:
            if refusal.record not in batch:
                raise Retry(f"it rejected a record that was not in the batch: {refusal.reason}") from refusal
            await asyncio.wrap_future(self._store.dead_letter(refusal.record, refusal.reason, self.name))
            await self._move(refusal.record.sequence)
            self.rejected += 1
            self.delivered += batch.index(refusal.record)
            self.last_error = f"rejected {refusal.record.ce_id}: {refusal.reason}"
            self._succeeded()
        else:
            await self._move(batch[-1].sequence)
            self.delivered += len(batch)
            self.last_error = None
            self._succeeded()

    def _succeeded(self) -> None:
        self._failures = 0
        self._left = self._attempts

    async def _move(self, sequence: int) -> None:
        await asyncio.wrap_future(self._store.move_cursor(self.name, sequence))

    async def _tried(self, attempt: Awaitable[_T]) -> _T | None:
        """The attempt's result, or None after it failed and the pause that follows a failure."""
        try:
            result = await attempt
        except Exception as error:  # a sink of whatever quality must not end its lane, nor the others'
            self.retries += 1
            self.last_error = str(error) if isinstance(error, SensoriumError) else f"{type(error).__name__}: {error}"
            first, longest = self._pause
            nominal = min(longest, first * 2 ** min(self._failures, 30))
            self._failures += 1
            if self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    raise _GaveUpError from error
            await self._rest(nominal * (0.5 + self._jitter()))
            return None
        return result

    async def _rest(self, seconds: float) -> None:
        if self._draining.is_set():
            await self._sleep(min(seconds, DRAINING_PAUSE))
            return
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._draining.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


class _GaveUpError(Exception):
    """A lane that was told to end has failed as often as it may."""


async def _close(sink: Sink) -> None:
    with contextlib.suppress(Exception):  # what a sink says while it closes changes nothing: its cursor is its truth
        await asyncio.wait_for(sink.aclose(), CLOSE_SECONDS)
