"""Cursors, records and dead letters: the outbox as rows. Plain functions over a connection."""

from __future__ import annotations

import json
import sqlite3

from pipelines.protocols import Record
from pipelines.store.values import Pending


def records(connection: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[Record]:
    """The records behind `after`, in order: at most `limit`, and no more than `max_bytes` of bodies (but at least one).

    Each carries what differs from run to run in its headers: `outbox` (an id of this database), `birth` (ms since the
    epoch) and `sequence`, beside what was put with it.
    """
    outbox, birth = identity(connection)
    found: list[Record] = []
    held = 0
    rows = connection.execute(
        "SELECT sequence, grp, moment, revision, body, headers, written FROM records"
        " WHERE sequence > ? ORDER BY sequence LIMIT ?",
        (after, limit),
    )
    for sequence, group, moment, revision, body, headers, written in rows:
        held += len(body)
        if found and held > max_bytes:
            break
        more = {"outbox": outbox, "birth": birth, "sequence": str(sequence), "stored": str(written)}
        found.append(Record(sequence, group, f"{moment}.{revision}", body, json.loads(headers) | more))
    rows.close()
    return found


def identity(connection: sqlite3.Connection) -> tuple[str, str]:
    """The outbox's id, and its birth in ms since the epoch."""
    meta = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('outbox', 'birth')"))
    return str(meta["outbox"]), str(meta["birth"])


def cursor(connection: sqlite3.Connection, sink: str) -> int:
    """The last sequence that `sink` has; 0 for a sink never seen, which gets all there is."""
    row = connection.execute("SELECT sequence FROM cursors WHERE sink = ?", (sink,)).fetchone()
    return int(row[0]) if row else 0


def move_cursor(connection: sqlite3.Connection, sink: str, sequence: int) -> int:
    """Move forward only, and never beyond what was ever stored; returns where it stands."""
    highest = last_sequence(connection)
    connection.execute(
        "INSERT INTO cursors(sink, sequence) VALUES(?, ?)"
        " ON CONFLICT(sink) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        (sink, min(max(sequence, 0), highest)),
    )
    return cursor(connection, sink)


def rewind(connection: sqlite3.Connection, sink: str) -> None:
    """Back to the beginning of what is kept: for a sink that lost what it had."""
    connection.execute("DELETE FROM cursors WHERE sink = ?", (sink,))


def add_dead_letter(connection: sqlite3.Connection, record: Record, reason: str, sink: str, now: int) -> None:
    """Keep a rejected record. The same record rejected again, after a kill before the cursor moved, is one row."""
    connection.execute(
        "INSERT OR REPLACE INTO dead_letters(sink, sequence, ce_id, grp, body, headers, reason, written)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sink,
            record.sequence,
            record.ce_id,
            record.key,
            record.body,
            json.dumps(dict(record.headers)),
            reason,
            now,
        ),
    )


def pending(connection: sqlite3.Connection, sink: str) -> Pending:
    """What waits for `sink`. Sequences have no holes except below the oldest record, so this counts nothing."""
    after = cursor(connection, sink)
    first = connection.execute(
        "SELECT sequence, written FROM records WHERE sequence > ? ORDER BY sequence LIMIT 1", (after,)
    ).fetchone()
    if first is None:
        return Pending(0, None)
    return Pending(last_sequence(connection) - first[0] + 1, first[1])


def delivered_through(connection: sqlite3.Connection, sinks: tuple[str, ...] | None) -> int:
    """The highest sequence that every sink has: of `sinks`, or of all that have a cursor; all there is without sinks."""
    names = sinks if sinks is not None else tuple(row[0] for row in connection.execute("SELECT sink FROM cursors"))
    return min((cursor(connection, name) for name in names), default=last_sequence(connection))


def last_sequence(connection: sqlite3.Connection) -> int:
    """The highest sequence ever given, also when its record was dropped since."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    return int(row[0]) if row else 0
