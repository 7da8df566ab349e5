"""Reading a store beside its writer, or without one: never in its way, never for longer than allowed."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeAlias

from pipelines.errors import StoreError
from pipelines.packet import Modality
from pipelines.store.labels import unpack_labels
from pipelines.store.schema import APPLICATION, DATABASE, VERSION, older
from pipelines.store.values import Clip

Space: TypeAlias = Literal["shared", "native"]
CHUNK = 4096
LAST_KEY = 2**63 - 1
_STEPS = 4000  # virtual-machine steps of SQLite between two looks at the clock: well under a millisecond


class Found(NamedTuple):
    """One stream's view of one moment, as search needs it; times in ns, `text` the words of a text stream."""

    key: int
    moment: str
    group: str
    start: int
    end: int
    stream: str
    modality: Modality
    labels: tuple[tuple[str, float], ...]
    quality: float
    text: str | None
    media: str | None


class Rows(NamedTuple):
    """Vectors of one space in the order they were written, as little-endian float16; row i belongs to view `keys[i]`."""

    keys: list[int]
    vectors: list[bytes]


class ViewColumns(NamedTuple):
    """Views in the order of their keys, which is that of their moments' keys; `labels` as they are kept."""

    keys: list[int]
    moments: list[int]
    streams: list[str]
    modalities: list[Modality]
    qualities: list[float]
    labels: list[bytes]


class MomentColumns(NamedTuple):
    """Moments in the order of their keys; times in ns."""

    keys: list[int]
    ids: list[str]
    groups: list[str]
    starts: list[int]
    ends: list[int]
    models: list[str]


class Reader:
    """A read-only connection. Each call is one short transaction and sees the last commit.

    Usable from any thread, one call at a time. `limit` seconds is the most that one call may run: then, or when
    `interrupt` is called from another thread, it raises StoreError. Raises StoreError also where there is no store,
    where it is damaged or of a newer version.
    """

    def __init__(self, directory: Path | str, *, limit: float = 10.0) -> None:
        self.directory = Path(directory)
        self.limit = limit
        self._path = self.directory / DATABASE
        self._one = threading.Lock()
        self._deadline = float("inf")
        self._connection, self._inode = self._open()

    def replaced(self) -> bool:
        """Whether another database lies there now (the old one was quarantined); it is opened, all keys are void."""
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116
        except FileNotFoundError:
            return False
        if inode == self._inode:
            return False
        with self._one:
            self._connection.close()
            self._connection, self._inode = self._open()
        return True

    def version(self) -> int:
        """A number that changes when anything was committed; free of cost."""
        with self._asking() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def vectors(
        self, space: Space, after: int, through: int = LAST_KEY, modality: Modality | None = None
    ) -> Iterator[Rows]:
        """Vectors of views behind key `after` (of one modality), in chunks; between two chunks nothing is held open."""
        of_modality = "" if modality is None else " JOIN views w ON w.key = v.view AND w.modality = :modality"
        while True:
            with self._asking() as connection:
                rows = connection.execute(
                    f"SELECT v.view, v.vector FROM vectors_{space} v{of_modality}"
                    " WHERE v.view > :after AND v.view <= :through ORDER BY v.view LIMIT :most",
                    {"after": after, "through": through, "modality": modality, "most": CHUNK},
                ).fetchall()
            if not rows:
                return
            found = Rows(*_columns(rows, 2))
            yield found
            after = found.keys[-1]

    def views_after(self, after: int) -> Iterator[tuple[ViewColumns, MomentColumns]]:
        """All views behind key `after` and their moments, in chunks; between two chunks nothing is held open.

        The moments of a chunk are read after its views: where one is missing, it was deleted with its views meanwhile.
        """
        while True:
            with self._asking() as connection:
                views = connection.execute(
                    "SELECT key, moment, stream, modality, quality, labels FROM views WHERE key > ? ORDER BY key LIMIT ?",
                    (after, CHUNK),
                ).fetchall()
                if not views:
                    return
                moments = connection.execute(
                    "SELECT key, id, grp, start, finish, model FROM moments WHERE key BETWEEN ? AND ? ORDER BY key",
                    (views[0][1], views[-1][1]),
                ).fetchall()
            columns = ViewColumns(*_columns(views, 6))
            yield columns, MomentColumns(*_columns(moments, 6))
            after = columns.keys[-1]

    def names(self, after: int) -> list[tuple[int, str]]:
        """The names of labels with numbers behind `after`, in order."""
        with self._asking() as connection:
            return connection.execute(
                "SELECT number, name FROM names WHERE number > ? ORDER BY number", (after,)
            ).fetchall()

    def last_change(self) -> int:
        """The number of the newest deletion."""
        with self._asking() as connection:
            return int(connection.execute("SELECT coalesce(max(change), 0) FROM gone").fetchone()[0])

    def gone(self, after: int) -> tuple[list[int], int] | None:
        """Keys of the views deleted behind change `after`, and the newest change; None where that is too far back."""
        with self._asking() as connection:
            rows = connection.execute(
                "SELECT change, view FROM gone WHERE change > ? ORDER BY change", (after,)
            ).fetchall()
        if rows and rows[0][0] != after + 1:
            return None
        return [view for _, view in rows], rows[-1][0] if rows else after

    def views(self, keys: Sequence[int]) -> dict[int, Found]:
        """The views with these keys; one that was deleted meanwhile is missing."""
        with self._asking() as connection:
            rows = connection.execute(
                f"{_VIEW} WHERE w.key IN (SELECT value FROM json_each(?))", (json.dumps([int(k) for k in keys]),)
            ).fetchall()
            labels = {row[0]: unpack_labels(row[7]) for row in rows}
            numbers = {number for pairs in labels.values() for number, _ in pairs}
            names = dict(
                connection.execute(
                    "SELECT number, name FROM names WHERE number IN (SELECT value FROM json_each(?))",
                    (json.dumps(sorted(numbers)),),
                ).fetchall()
            )
        return {
            row[0]: Found(*row)._replace(labels=tuple((names[number], p) for number, p in labels[row[0]]))
            for row in rows
        }

    def holding(self, match: str) -> list[int]:
        """Keys of the views whose words match an FTS5 expression."""
        with self._asking() as connection:
            return [key for (key,) in connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (match,))]

    def contexts(self, match: str, keys: Sequence[int]) -> dict[int, str]:
        """Of those of these views that match: a few words round the matching ones, which stand between \\x02 and \\x03."""
        with self._asking() as connection:
            return dict(
                connection.execute(
                    "SELECT rowid, snippet(words, 0, char(2), char(3), char(8230), 12) FROM words"
                    " WHERE words MATCH ? AND rowid IN (SELECT value FROM json_each(?))",
                    (match, json.dumps([int(k) for k in keys])),
                ).fetchall()
            )

    def streams(self) -> dict[str, Modality]:
        """The streams that ever had a moment in this store, with their modality."""
        with self._asking() as connection:
            return dict(connection.execute("SELECT stream, modality FROM streams"))

    def empty(self) -> bool:
        """Whether there is no moment at all."""
        with self._asking() as connection:
            return connection.execute("SELECT 1 FROM moments LIMIT 1").fetchone() is None

    def body(self, moment: str) -> bytes | None:
        """The message of a moment at its highest revision."""
        with self._asking() as connection:
            row = connection.execute(
                "SELECT r.body FROM moments m JOIN records r ON r.sequence = m.sequence WHERE m.id = ?", (moment,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def clip(self, reference: str) -> Clip | None:
        """A thumbnail or a sound by its reference (``store:<hex>``); None once retention has taken it."""
        with self._asking() as connection:
            row = connection.execute("SELECT kind, content FROM media WHERE ref = ?", (reference,)).fetchone()
        return None if row is None else Clip(row[0], bytes(row[1]))

    def interrupt(self) -> None:
        """End the call that is running in another thread; it raises StoreError."""
        self._connection.interrupt()

    def close(self) -> None:
        """May be called twice."""
        with self._one:
            self._connection.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        with self._one:
            self._deadline = time.monotonic() + self.limit
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                    raise StoreError(f"reading {self._path} was stopped (it may take {self.limit:g} s)") from error
                raise StoreError(f"cannot read {self._path}: {error}") from error
            except sqlite3.Error as error:
                raise StoreError(f"cannot read {self._path}: {error}") from error

    def _open(self) -> tuple[sqlite3.Connection, int]:
        if not self._path.is_file():
            raise StoreError(f"there is no store in {self.directory}: record or replay something into it first")
        inode = os.stat(self._path).st_ino  # noqa: PTH116
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self._path}: {error}") from error
        if application != APPLICATION or version == 0:
            connection.close()
            raise StoreError(f"{self._path} is not a store of sensorium")
        if version > VERSION:
            connection.close()
            raise StoreError(
                f"{self._path} was made by a newer version (schema {version}, this program knows {VERSION}): upgrade"
            )
        if version < VERSION:
            connection.close()
            raise StoreError(older(self._path, version))
        late: Callable[[], bool] = lambda: time.monotonic() > self._deadline  # noqa: E731
        connection.set_progress_handler(late, _STEPS)
        return connection, inode


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(count)]  # zip(*rows) takes four times as long


_VIEW = (
    "SELECT w.key, m.id, m.grp, m.start, m.finish, w.stream, w.modality, w.labels, w.quality, w.text, w.media"
    " FROM views w JOIN moments m ON m.key = w.moment"
)
