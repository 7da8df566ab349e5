"""The database of the store: its tables, how it is opened, and what happens to one that cannot be read.

    records    the outbox: every revision of every moment, in the order sinks get them
    revisions  what was ever stored under an id, as digests; it outlives the records, so a body that comes again after
               its record was dropped is still known
    moments    the highest revision of each moment; views, their vectors and `words` belong to it
    names      names of labels, by the number that views keep
    streams    every stream that ever had a view
    gone       the last views that were deleted, so that a reader with an index in memory can follow
    media      thumbnails and sound clips by reference
    cursors    how far each sink is; dead_letters what a sink will never take

`records.sequence`, `moments.key`, `views.key` and `gone.change` are AUTOINCREMENT: pruning a table to empty never makes
a number come again, which would fall behind a cursor and be lost in silence.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from pathlib import Path

from pipelines.errors import StoreError

DATABASE = "store.db"
VERSION = 2
APPLICATION = 0x73656E73  # "sens", in the header of the file
CHECK_SECONDS = 5.0
GONE_KEPT = 100_000

_TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE records(
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    moment TEXT NOT NULL,
    revision INTEGER NOT NULL,
    grp TEXT NOT NULL,
    body BLOB NOT NULL,
    headers TEXT NOT NULL,
    written INTEGER NOT NULL
);
CREATE TABLE revisions(
    sequence INTEGER PRIMARY KEY,
    moment TEXT NOT NULL,
    revision INTEGER NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE(moment, revision)
);
CREATE TABLE moments(
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    grp TEXT NOT NULL,
    start INTEGER NOT NULL,
    finish INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    model TEXT NOT NULL
);
CREATE INDEX moments_sequence ON moments(sequence);
CREATE INDEX moments_start ON moments(start);
CREATE TABLE views(
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    moment INTEGER NOT NULL,
    stream TEXT NOT NULL,
    modality TEXT NOT NULL,
    start INTEGER NOT NULL,
    labels BLOB NOT NULL,
    quality REAL NOT NULL,
    confidence REAL NOT NULL,
    text TEXT,
    media TEXT
);
CREATE TABLE names(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE INDEX views_moment ON views(moment);
CREATE TABLE streams(stream TEXT, modality TEXT, PRIMARY KEY(stream, modality)) WITHOUT ROWID;
CREATE TABLE vectors_shared(view INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE vectors_native(view INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    text, content='views', content_rowid='key', tokenize='porter unicode61 remove_diacritics 2', prefix='2 3'
);
CREATE TABLE gone(change INTEGER PRIMARY KEY AUTOINCREMENT, view INTEGER NOT NULL);
CREATE TABLE media(
    ref TEXT PRIMARY KEY, kind TEXT NOT NULL, content BLOB NOT NULL, bytes INTEGER NOT NULL, touched INTEGER NOT NULL
);
CREATE INDEX media_touched ON media(touched, bytes);
CREATE TABLE cursors(sink TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead_letters(
    sink TEXT NOT NULL, sequence INTEGER NOT NULL, ce_id TEXT NOT NULL, grp TEXT NOT NULL, body BLOB NOT NULL,
    headers TEXT NOT NULL, reason TEXT NOT NULL, written INTEGER NOT NULL, PRIMARY KEY(sink, sequence)
);
"""


class Corrupt(Exception):  # noqa: N818 - a finding, turned into a quarantine by `open_database`
    """The file cannot be trusted; the text says what SQLite found."""


def open_database(directory: Path, now: int) -> tuple[sqlite3.Connection, str | None]:
    """Open, check and if need be create the database; the caller holds the directory's lock.

    Returns the connection, in autocommit mode and usable from any one thread at a time, and, where a corrupt database
    was put aside, a sentence that says so. `now` is ns since the epoch. Raises StoreError.
    """
    path = directory / DATABASE
    try:
        return _open(path, now), None
    except Corrupt as finding:
        aside = quarantine(path, now)
        notice = f"{path} was corrupt ({finding}); it is kept as {aside.name} and a fresh store was started"
    try:
        return _open(path, now), notice
    except Corrupt as again:
        raise StoreError(f"{path}: a fresh database is corrupt at once ({again}); the disk may be failing") from again


def older(path: Path, version: int) -> str:
    """What to say of a database that this program no longer reads."""
    return (
        f"{path} was made by an earlier version (schema {version}, this program needs {VERSION}): "
        f"choose another directory and replay the recordings into it"
    )


def quarantine(path: Path, now: int) -> Path:
    """Rename a database and its log aside, never overwriting an earlier one, and make the renaming durable."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now / 1e9))
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):  # the log first: a fresh database must never find a foreign one
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    sync_directory(path.parent)
    return aside


def sync_directory(directory: Path) -> None:
    """Make creations and renamings in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged, as against full, locked or unreachable."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _open(path: Path, now: int) -> sqlite3.Connection:
    fresh = not path.exists()
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open {path}: {error}; is the directory writable?") from error
    try:
        _verify(connection, path)
        _configure(connection)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            _create(connection, now)
            if fresh:
                sync_directory(path.parent)
    except sqlite3.Error as error:
        connection.close()
        if is_corruption(error):
            raise Corrupt(str(error)) from error
        raise StoreError(f"cannot use {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables == 0:
        return
    if application != APPLICATION:
        raise StoreError(f"{path} is a database of another program; choose another directory for the store")
    if version > VERSION:
        raise StoreError(
            f"{path} was made by a newer version (schema {version}, this program knows {VERSION}): "
            f"upgrade sensorium or choose another directory"
        )
    if 0 < version < VERSION:
        raise StoreError(older(path, version))
    deadline = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 50_000)
    try:
        findings = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        findings = ["ok"]  # too large to read through at start; damage found later is handled when it is found
    finally:
        connection.set_progress_handler(None, 0)
    if findings != ["ok"]:
        raise Corrupt("; ".join(findings).replace("\n", " "))


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes effect on an empty file only
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=0")  # the writer's thread decides when
    connection.execute("PRAGMA journal_size_limit=67108864")
    connection.execute("PRAGMA cache_size=-16384")


def _create(connection: sqlite3.Connection, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.executemany(
        "INSERT INTO meta(name, value) VALUES(?, ?)",
        [("outbox", str(uuid.uuid4())), ("birth", now // 1_000_000)],
    )
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")
