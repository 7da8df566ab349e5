"""The store of one directory: every moment and its place in the outbox, in one transaction on disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pipelines.errors import StoreError
from pipelines.moment import Moment
from pipelines.protocols import Record
from pipelines.store import delivery, retention
from pipelines.store.jobs import Job, JobQueue
from pipelines.store.lock import DirectoryLock
from pipelines.store.rows import prepare, put
from pipelines.store.schema import DATABASE
from pipelines.store.values import MEBIBYTE, Clip, Pending, Retention, Statistics, Stored
from pipelines.store.writer import Writer

T = TypeVar("T")


class Store:
    """Opens or makes the store in `directory` and is its only writer until `close`.

    Methods may be called from any thread. Those that write return a future, resolved once the change is on disk; those
    that read answer at once, from what is on disk. Callbacks and futures run in the writer's thread: keep them short.

    Args:
        retention: what is kept.
        sinks: whose cursors decide what counts as delivered; None: all that ever had one.
        queue_items, queue_bytes: what may wait for the writer; beyond it `put` blocks its caller.
        clock: ns since the epoch.

    Raises StoreError: the directory cannot be written, another process writes it, or a newer version made it.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        retention: Retention | None = None,
        sinks: Sequence[str] | None = None,
        queue_items: int = 256,
        queue_bytes: int = 64 * MEBIBYTE,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.directory = Path(directory)
        self._clock = clock
        self._hooks: list[Callable[[], None]] = []
        self._stored = self._ignored = 0
        self._reading = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make {self.directory}: {error.strerror}") from error
        self._lock = DirectoryLock(self.directory)
        try:
            self._queue = JobQueue(items=queue_items, nbytes=queue_bytes)
            self._writer = Writer(
                self.directory,
                self._queue,
                retention or Retention(),
                sinks=None if sinks is None else tuple(sinks),
                clock=clock,
                on_commit=self._committed,
                on_replace=self._replaced,
            )
        except BaseException:
            self._lock.release()
            raise

    def put(
        self,
        moment: Moment,
        clips: Mapping[str, Clip] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Future[Stored | None]:
        """Store `moment`; resolves to where it lies, or to None where an equal body of that id was there already.

        The store gives the revision: `moment.revision` is not looked at. Blocks while the queue is full (from an event
        loop call it in a thread); puts of one caller are stored in its order. `clips` by their reference, as in
        `StreamView.media`; `headers` travel with the record and are no part of the body. Raises StoreError once closed,
        or when the queue stays full for `timeout` seconds; ValueError for a moment that has no body.
        """
        item = prepare(moment, clips or {}, headers or {})

        def run(connection: sqlite3.Connection) -> Stored | None:
            stored = put(connection, item, self._clock())
            if stored is None:
                self._ignored += 1
            else:
                self._stored += 1
            return stored

        return self._submit(run, item.nbytes, timeout)

    def records(self, after: int, limit: int, max_bytes: int = 16 * MEBIBYTE) -> list[Record]:
        """The outbox behind sequence `after`, in order; no more than `limit` records or `max_bytes`, but at least one."""
        return self._read(lambda connection: delivery.records(connection, after, limit, max_bytes))

    def cursor(self, sink: str) -> int:
        """The last sequence that `sink` is known to have; 0 at first."""
        return self._read(lambda connection: delivery.cursor(connection, sink))

    def move_cursor(self, sink: str, sequence: int) -> Future[int]:
        """Say that `sink` has everything up to `sequence`; never moves back. Resolves to where the cursor stands."""
        return self._submit(lambda connection: delivery.move_cursor(connection, sink, sequence))

    def rewind(self, sink: str) -> Future[None]:
        """Say that `sink` has nothing: it gets everything that is still in the outbox once more."""
        return self._submit(lambda connection: delivery.rewind(connection, sink))

    def dead_letter(self, record: Record, reason: str, sink: str) -> Future[None]:
        """Keep `record` as one that `sink` will never take; the same record twice is kept once."""
        return self._submit(
            lambda connection: delivery.add_dead_letter(connection, record, reason, sink, self._clock())
        )

    def pending(self, sink: str) -> Pending:
        """How many records wait for `sink`, and since when."""
        return self._read(lambda connection: delivery.pending(connection, sink))

    def prune(self) -> Future[retention.Dropped]:
        """Apply the retention rules once, now, instead of when the writer next would."""
        return self._submit(self._writer.prune)

    def on_commit(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook`, in the writer's thread, whenever new records were committed; returns what takes it away again."""
        self._hooks = [*self._hooks, hook]

        def remove() -> None:
            self._hooks = [kept for kept in self._hooks if kept is not hook]

        return remove

    def statistics(self) -> Statistics:
        """The state at this instant; cheap enough for a health check, not for every packet."""
        queued, queued_bytes = self._queue.held

        def read(connection: sqlite3.Connection) -> Statistics:
            def one(query: str) -> int:
                return int(connection.execute(query).fetchone()[0] or 0)

            dropped = dict(connection.execute("SELECT name, value FROM meta WHERE name LIKE 'dropped%'"))
            return Statistics(
                moments=one("SELECT count(*) FROM moments"),
                records=one("SELECT coalesce(max(sequence) - min(sequence) + 1, 0) FROM records"),
                last_sequence=delivery.last_sequence(connection),
                last_stored=one("SELECT written FROM records ORDER BY sequence DESC LIMIT 1") or None
                if one("SELECT count(*) FROM (SELECT 1 FROM records LIMIT 1)")
                else None,
                stored=self._stored,
                ignored=self._ignored,
                commits=self._writer.commits,
                dropped_delivered=dropped.get("dropped_delivered", 0),
                dropped_undelivered=dropped.get("dropped_undelivered", 0),
                dropped_media=dropped.get("dropped_media", 0),
                media=one("SELECT count(*) FROM media"),
                media_bytes=one("SELECT coalesce(sum(bytes), 0) FROM media"),
                dead_letters=one("SELECT count(*) FROM dead_letters"),
                queued=queued,
                queued_bytes=queued_bytes,
                bytes=retention.used_bytes(connection),
                wal_bytes=_size(self.directory / f"{DATABASE}-wal"),
                blocked=self._writer.blocked,
                notice=self._writer.notice,
            )

        return self._read(read)

    @property
    def blocked(self) -> str | None:
        """Why nothing can be written at this moment, or None; costs nothing."""
        return self._writer.blocked

    @property
    def notice(self) -> str | None:
        """That a corrupt database was put aside, where it is and what was wrong with it; None where all was well."""
        return self._writer.notice

    def close(self, timeout: float | None = 30.0) -> bool:
        """Write out what is queued, fold the log in and let the next writer in; may be called twice.

        False: the disk did not take everything within `timeout` seconds; the futures of what is lost say so.
        """
        self._queue.close(self._closed())
        self._replaced()  # the writer's connection is the last to close, which folds the log in
        done = self._writer.join(timeout)
        self._lock.release()
        return done

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _submit(
        self, run: Callable[[sqlite3.Connection], T], nbytes: int = 0, timeout: float | None = None
    ) -> Future[T]:
        job = Job(run, nbytes)
        self._queue.add(job, timeout)
        return job.future

    def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with self._reading:
            if self._queue.closed:
                raise self._closed()
            if self._connection is None:
                uri = f"{(self.directory / DATABASE).absolute().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            try:
                return question(self._connection)
            except sqlite3.Error as error:
                raise StoreError(f"cannot read the store in {self.directory}: {error}") from error

    def _closed(self) -> StoreError:
        return StoreError(f"the store in {self.directory} is closed")

    def _committed(self) -> None:
        for hook in self._hooks:
            with contextlib.suppress(RuntimeError):  # a hook's event loop may be closed by now
                hook()

    def _replaced(self) -> None:
        with self._reading:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)  # noqa: PTH202
    except OSError:
        return 0
