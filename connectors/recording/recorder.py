"""Recording a running stream: a tap in front of the aligner, and one thread that owns the file."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from connectors.recording.codec import Unreadable
from connectors.recording.schema import Alignment
from connectors.recording.writer import RecordingWriter
from pipelines.clock import Clock
from pipelines.errors import RecordingError
from pipelines.packet import Bound, Event, Gap, Modality, Packet
from pipelines.windowing.cut import Cut

T = TypeVar("T")

_SMALL = 256


class _Job(NamedTuple):
    """Something to write: the memory it holds, whether it counts as lost, and who waits for it."""

    size: int
    write: Callable[[RecordingWriter], None]
    items: int = 0
    done: threading.Event | None = None


class Recorder:
    """Writes exactly what passes through `tap`, in its order, into `path`.

    The file grows as `path`.part and gets its name at `close`. Chunks are written when they are full and every
    `flush_seconds`, so a killed process loses the last seconds and nothing else. A slow disk holds the stream back once
    `pending_bytes` wait for it; a disk that fails does not: recording then stops for good, `error` says why, `lost` counts
    on, and the stream goes on. Thread-safe, apart from `tap`, which belongs to one event loop.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock,
        alignment: Alignment | None = None,
        modalities: Mapping[str, Modality] | None = None,
        on_error: Callable[[RecordingError], None] | None = None,
        chunk_bytes: int = 2**20,
        flush_seconds: float = 2.0,
        pending_bytes: int = 64 * 2**20,
    ) -> None:
        """
        Args:
            path: of the recording; must not exist, nor `path`.part. Raises RecordingError where it cannot be made.
            clock: stamps arrival.
            alignment: how the run aligns its streams; with it the replay is exact.
            modalities: streams known beforehand, so that one that never sends is in the file too.
            on_error: called once, in the recorder's thread, when the file cannot be written any more, and for each packet
                that is in no canonical form and could not be recorded.
            chunk_bytes: size of a chunk before compression.
            flush_seconds: how old an unwritten packet becomes at most.
            pending_bytes: how much may wait for the disk before the stream waits too.
        """
        self.path = Path(path)
        self.error: RecordingError | None = None
        self.lost = 0
        """Packets, bounds and gaps that passed and are not known to be in the file; grows only once something went wrong."""
        self._part = self.path.with_name(self.path.name + ".part")
        self._clock = clock
        self._on_error = on_error or (lambda error: None)
        self._flush_seconds = flush_seconds
        self._limit = pending_bytes
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._pending = 0
        self._closing = False
        self._unflushed = 0
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        try:
            if self.path.exists():
                raise FileExistsError(errno.EEXIST, "a recording of this name exists", str(self.path))
            self._file = self._part.open("xb")
        except OSError as error:
            raise RecordingError(
                f"cannot record into {error.filename or self._part}: {error.strerror}; choose another name or place"
            ) from error
        self._alignment = alignment
        self._modalities = modalities
        self._chunk_bytes = chunk_bytes
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Bytes of payload that wait for the disk."""
        with self._changed:
            return self._pending

    async def tap(self, items: AsyncIterable[T]) -> AsyncGenerator[T, None]:
        """Record every packet, bound and gap, and pass on every item, unchanged and in order."""
        async for item in items:
            if isinstance(item, Packet | Bound | Gap):
                await self._room()
                self.put(item)
            yield item

    def put(self, item: Event) -> None:
        """Record one item; returns at once."""
        now = self._clock.now()
        size = item.nbytes if isinstance(item, Packet) else _SMALL
        self._submit(_Job(size, lambda writer: writer.write(item, now), items=1))

    def cut(self, cut: Cut) -> None:
        """A window that the clock decided: the aligner's `on_cut`."""
        now = self._clock.now()
        self._submit(_Job(_SMALL, lambda writer: writer.cut(cut, now)))

    def refused(self, stream: str, count: int) -> None:
        """The `count`-th packet of `stream` (from 1) that passed was refused by the aligner; a replay skips it."""
        now = self._clock.now()
        self._submit(_Job(_SMALL, lambda writer: writer.refused(stream, count, now)))

    def flush(self) -> None:
        """Block until all that was put is on its way to the disk (or the recording has failed)."""
        done = threading.Event()
        if self._submit(_Job(0, self._flush, done=done)):
            done.wait()

    def close(self) -> None:
        """Write what is left, sync, and give the file its name. Blocks; a second call does nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _submit(self, job: _Job) -> bool:
        with self._changed:
            if self.error is not None or self._closing:
                self.lost += job.items
                return False
            self._jobs.append(job)
            self._pending += job.size
            self._changed.notify()
            return True

    async def _room(self) -> None:
        while True:
            with self._changed:
                if self._pending <= self._limit or self.error is not None:
                    return
                loop = asyncio.get_running_loop()
                waiter: asyncio.Future[None] = loop.create_future()
                self._waiter = loop, waiter
            await waiter

    def _wake(self) -> None:
        """Called with the lock held."""
        if self._waiter is not None and (self._pending <= self._limit or self.error is not None):
            (loop, waiter), self._waiter = self._waiter, None
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, waiter)

    def _run(self) -> None:
        try:
            writer = RecordingWriter(
                self._file, alignment=self._alignment, modalities=self._modalities, chunk_bytes=self._chunk_bytes
            )
            writer.flush()
            due = time.monotonic() + self._flush_seconds
            while True:
                job = self._next(due)
                if job is not None:
                    self._apply(job, writer)
                elif self._closing:
                    break
                if time.monotonic() >= due:
                    self._flush(writer)
                    due = time.monotonic() + self._flush_seconds
            writer.close()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.rename(self.path)
            _sync_folder(self.path.parent)
        except Exception as error:  # whatever it is, the stream must go on
            self._fail(error)

    def _next(self, due: float) -> _Job | None:
        """The next job; None at the time `due`, or when nothing more will come."""
        with self._changed:
            while not self._jobs and not self._closing:
                if not self._changed.wait(max(0.0, due - time.monotonic())):
                    return None
            return self._jobs.popleft() if self._jobs else None

    def _flush(self, writer: RecordingWriter) -> None:
        if self._unflushed:
            writer.flush()
            self._unflushed = 0

    def _apply(self, job: _Job, writer: RecordingWriter) -> None:
        try:
            if job.write != self._flush:
                self._unflushed += 1
            job.write(writer)
        except Unreadable as error:
            with self._changed:
                self.lost += 1
            self._on_error(RecordingError(f"a packet cannot be recorded in {self.path}: {error}"))
        finally:
            with self._changed:
                self._pending -= job.size
                self._wake()
            if job.done is not None:
                job.done.set()

    def _fail(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        failure = RecordingError(
            f"recording into {self._part} has stopped: {reason}; what was written before can be replayed"
        )
        failure.__cause__ = error
        with self._changed:
            self.error = failure
            waiting, self._jobs = list(self._jobs), deque()
            self.lost += self._unflushed + sum(job.items for job in waiting)
            self._pending = 0
            self._wake()
        with suppress(OSError):
            self._file.close()
        for job in waiting:
            if job.done is not None:
                job.done.set()
        self._on_error(failure)


def _sync_folder(folder: Path) -> None:
    """Make a new name durable, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
