"""Batches across windows and streams. A batch waits only while the mind is busy: idle, the first packet goes at once.

Overlapping windows share encodings: equal content is encoded once, while it is under way and for a while after.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from types import TracebackType

import numpy as np

from pipelines.packet import Packet
from pipelines.protocols import Encoded

MAX_BATCH = 32
REMEMBERED = 128


class Batcher:
    """Encodes packets of one modality, in batches of at most `max_batch`, one call at a time, in a worker thread.

    Use as an async context manager. An exception of `encode` reaches every packet of its batch and no other.
    `remembered` is how many finished encodings are kept for later windows (least recently used go first).
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Packet]], list[Encoded]],
        *,
        executor: Executor,
        max_batch: int = MAX_BATCH,
        remembered: int = REMEMBERED,
    ) -> None:
        self.encoded = 0
        self.batches = 0
        self.shared = 0
        self._encode = encode
        self._executor = executor
        self._max_batch = max_batch
        self._remembered = remembered
        self._known: OrderedDict[bytes, asyncio.Future[Encoded]] = OrderedDict()
        self._queue: deque[tuple[Packet, asyncio.Future[Encoded]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def submit(self, packet: Packet) -> asyncio.Future[Encoded]:
        """The encoding of `packet`, once it is there. Bounded by the caller: windows in flight times packets chosen."""
        key = content_key(packet)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            self.shared += 1
            return known
        future: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        self._known[key] = future
        self._queue.append((packet, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return future

    async def __aenter__(self) -> Batcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for _, future in self._queue:
            future.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
            try:
                results = await loop.run_in_executor(self._executor, self._encode, [packet for packet, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if isinstance(error, asyncio.CancelledError):
                        future.cancel()
                    elif not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            self.batches += 1
            self.encoded += len(batch)
            for (_, future), encoded in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(encoded)
            self._forget()

    def _forget(self) -> None:
        done = len(self._known) - self._remembered
        for key in [key for key, future in self._known.items() if future.done()][: max(done, 0)]:
            del self._known[key]


def content_key(packet: Packet) -> bytes:
    """What an encoding depends on: modality, rate, shape and content; not the stream, not the time."""
    digest = hashlib.sha256(packet.modality.encode())  # the fastest where the processor has it, as those since 2019 do
    payload = packet.payload
    if isinstance(payload, np.ndarray):
        digest.update(f"{packet.rate} {payload.shape} ".encode())
        digest.update(np.ascontiguousarray(payload).data)
    else:
        digest.update(payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass"))
    return digest.digest()
