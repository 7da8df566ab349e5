"""The one thread that owns the database: transactions, checkpoints, retention, and what to do when the disk says no."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.errors import StoreError
from pipelines.store import retention
from pipelines.store.delivery import last_sequence
from pipelines.store.jobs import Job, JobQueue
from pipelines.store.schema import DATABASE, is_corruption, open_database, quarantine
from pipelines.store.values import MEBIBYTE, Retention

GROUP_SECONDS = 0.020
UPKEEP_SECONDS = 10.0
LOG_IDLE = 4 * MEBIBYTE
LOG_BUSY = 32 * MEBIBYTE
PATIENCE = (0.05, 2.0)  # seconds between attempts while the disk is full: first, longest

_Outcome = tuple[Job, Any, BaseException | None]


class Writer:
    """Runs jobs in transactions: whatever is queued when one begins, and what comes while it is younger than 20 ms.

    A commit is durable (`synchronous=FULL`) before any of its futures resolves. A job that fails is rolled back alone.
    While the disk is full or unreachable the whole group waits and is tried again; `blocked` says so. A database found
    corrupt is put aside and the group goes into a fresh one, whose sequences continue above the old ones.

    Args:
        clock: ns since the epoch.
        on_commit: called in this thread after a commit in which a job returned something other than None.
        on_replace: called in this thread after a fresh database took the place of a corrupt one.
    """

    def __init__(
        self,
        directory: Path,
        queue: JobQueue,
        rule: Retention,
        *,
        sinks: tuple[str, ...] | None,
        clock: Callable[[], int],
        on_commit: Callable[[], None],
        on_replace: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._queue = queue
        self._rule = rule
        self._sinks = sinks
        self._clock = clock
        self._on_commit = on_commit
        self._on_replace = on_replace
        self._connection, self.notice = open_database(directory, clock())
        self._highest = last_sequence(self._connection)
        self._giving_up = threading.Event()
        self._disk_trouble: str | None = None
        self._budget_spent: str | None = None
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def blocked(self) -> str | None:
        """Why nothing can be written at this moment, or None."""
        return self._disk_trouble or self._budget_spent

    def join(self, timeout: float | None) -> bool:
        """Wait for the queue to be written out after it was closed; past `timeout` what waits on the disk is given up."""
        self._thread.join(timeout)
        self._giving_up.set()
        self._thread.join(None if timeout is None else 5.0)
        return not self._thread.is_alive()

    def prune(self, connection: sqlite3.Connection) -> retention.Dropped:
        """One retention step, as a job."""
        return retention.step(connection, self._rule, self._sinks, self._clock())

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:
            failure = StoreError(f"the store's writer stopped: {error}")
            failure.__cause__ = error
            self._stop_taking(failure)
        finally:
            self._close()

    def _loop(self) -> None:
        upkeep = time.monotonic() + UPKEEP_SECONDS
        more = True
        while True:
            puts = self._has_room()
            first = self._next(puts=puts)
            if first is not None:
                self._commit([first])
            elif self._queue.closed:  # all is written, or the budget is spent and nobody is left to make room
                break
            over = self._rule.when_full == "drop" and self._over_budget()
            if more or over or time.monotonic() >= upkeep:
                more = self._upkeep()
                upkeep = time.monotonic() + UPKEEP_SECONDS
            self._checkpoint(LOG_IDLE if first is None else LOG_BUSY)
            if first is None and not more:
                wait = max(0.0, upkeep - time.monotonic())
                self._queue.wait(wait if puts else min(wait, 1.0), puts=puts)
        self._stop_taking(StoreError("the store was closed before this was written"))

    def _next(self, *, puts: bool) -> Job | None:
        """The next job that nobody has cancelled."""
        while (job := self._queue.take(puts=puts)) is not None:
            if job.future.set_running_or_notify_cancel():
                return job
            self._queue.done(job)
        return None

    def _commit(self, group: list[Job]) -> None:
        """Run `group`, and what joins it, until it is committed; resolve the futures."""
        try:
            self._until_committed(group)
        except BaseException as error:
            failure = StoreError(f"the store's writer stopped: {error}")
            failure.__cause__ = error
            self._fail([job for job in group if not job.future.done()], failure)
            raise

    def _until_committed(self, group: list[Job]) -> None:
        delay = PATIENCE[0]
        while True:
            try:
                outcomes = self._transaction(group)
            except sqlite3.Error as error:
                self._roll_back()
                if is_corruption(error):
                    self._replace(error)
                elif self._giving_up.is_set():
                    self._fail(group, StoreError(f"cannot write to {self._directory / DATABASE}: {error}"))
                    return
                else:
                    self._disk_trouble = f"cannot write: {error}"
                    self._make_room(error)
                    self._giving_up.wait(delay)
                    delay = min(2 * delay, PATIENCE[1])
                continue
            self._disk_trouble = None
            self.commits += 1
            self._highest = last_sequence(self._connection)
            self._resolve(outcomes)
            return

    def _transaction(self, group: list[Job]) -> list[_Outcome]:
        """One transaction over `group`, which grows by what is queued meanwhile."""
        connection = self._connection
        outcomes: list[_Outcome] = []
        connection.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + GROUP_SECONDS
        position = 0
        while position < len(group):
            outcomes.append(self._one(connection, group[position]))
            position += 1
            if position == len(group) and time.monotonic() < until:
                joined = self._next(puts=self._has_room())
                if joined is not None:
                    group.append(joined)
        connection.execute("COMMIT")
        return outcomes

    def _one(self, connection: sqlite3.Connection, job: Job) -> _Outcome:
        connection.execute("SAVEPOINT job")
        try:
            result = job.run(connection)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:
            failure: BaseException = StoreError(f"this moment cannot be stored: {error}")
        except sqlite3.Error:
            raise  # the database's trouble, not this job's
        except Exception as error:
            failure = error
        else:
            connection.execute("RELEASE job")
            return job, result, None
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return job, None, failure

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        for job, result, error in outcomes:
            self._queue.done(job)
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
        if any(job.nbytes and result is not None for job, result, _ in outcomes):
            self._on_commit()

    def _fail(self, group: list[Job], error: StoreError) -> None:
        for job in group:
            self._queue.done(job)
            job.future.set_exception(error)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._connection.close()
                self._connection, notice = open_database(self._directory, self._clock())
                self.notice = notice or self.notice

    def _replace(self, error: sqlite3.Error) -> None:
        """Put the corrupt database aside, start a fresh one whose sequences go on above the old ones."""
        self._connection.close()
        path = self._directory / DATABASE
        aside = quarantine(path, self._clock())
        self._connection, _ = open_database(self._directory, self._clock())
        # a cursor that is on its way must not come to lie above what is stored from now on
        self._connection.execute("INSERT INTO sqlite_sequence(name, seq) VALUES('records', ?)", (self._highest,))
        self.notice = f"{path} was corrupt ({error}); it is kept as {aside.name} and a fresh store was started"
        self._on_replace()

    def _has_room(self) -> bool:
        if self._rule.when_full == "block" and self._over_budget():
            self._budget_spent = f"the disk budget of {self._rule.max_bytes} bytes is spent, and when_full is 'block'"
            return False
        self._budget_spent = None
        return True

    def _over_budget(self) -> bool:
        return retention.over_budget(self._connection, self._rule)

    def _make_room(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL and self._rule.when_full == "drop":
            self._upkeep(pressed=True)

    def _upkeep(self, *, pressed: bool = False) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            dropped = retention.step(self._connection, self._rule, self._sinks, self._clock(), pressed=pressed)
            self._connection.execute("COMMIT")
            retention.shrink(self._connection)
        except sqlite3.Error as error:
            self._roll_back()
            if is_corruption(error):
                self._replace(error)
            return False
        return dropped.more

    def _checkpoint(self, limit: int) -> None:
        """Move the log into the database once it is larger than `limit` bytes; never waits for readers."""
        log = self._directory / f"{DATABASE}-wal"
        try:
            if os.path.getsize(log) > limit:  # noqa: PTH202 - called per commit
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (OSError, sqlite3.Error):
            return  # the log grows a little; the next write meets the same trouble and says so

    def _stop_taking(self, reason: StoreError) -> None:
        self._queue.close(reason)
        while (job := self._queue.take(puts=True)) is not None:
            self._queue.done(job)
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(reason)

    def _close(self) -> None:
        try:
            self._connection.execute("PRAGMA busy_timeout=1000")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            pass
        finally:
            self._connection.close()
