"""What the store gives up, in steps small enough to stand between two commits. Plain functions over a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.store.delivery import delivered_through, last_sequence
from pipelines.store.rows import delete_views
from pipelines.store.values import MEBIBYTE, Retention

STEP = 200
FEW = 10
DIGESTS_KEPT = 200_000


class Dropped(NamedTuple):
    """What one step gave up; `more` says that another step would find work."""

    delivered: int = 0
    undelivered: int = 0
    media: int = 0
    more: bool = False


def used_bytes(connection: sqlite3.Connection) -> int:
    """Pages in use; freed pages count as free, since the next writes go there."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def over_budget(connection: sqlite3.Connection, rule: Retention) -> bool:
    """Whether the budget is spent but for 2 % (at most 4 MiB), which one group of writes must not overrun."""
    return used_bytes(connection) > rule.max_bytes - min(4 * MEBIBYTE, rule.max_bytes // 50)


def step(
    connection: sqlite3.Connection, rule: Retention, sinks: tuple[str, ...] | None, now: int, *, pressed: bool = False
) -> Dropped:
    """Apply the rules once, in the open transaction: a bounded number of rows. `pressed`: the disk itself is full."""
    media = _drop_media(connection, rule, now)
    through = delivered_through(connection, sinks)
    press = rule.when_full == "drop" and (pressed or over_budget(connection, rule))
    rows: list[tuple[int]] = []
    while press and len(rows) < STEP:
        few = connection.execute("SELECT sequence FROM records ORDER BY sequence LIMIT ?", (FEW,)).fetchall()
        if not few:
            break
        _drop_records(connection, few)
        rows += few
        press = over_budget(connection, rule)
    if not rows and rule.max_age is not None:
        rows = connection.execute(
            "SELECT sequence FROM (SELECT sequence, written FROM records WHERE sequence <= ? ORDER BY sequence LIMIT ?)"
            " WHERE written < ?",
            (through, STEP, now - rule.max_age),
        ).fetchall()
        _drop_records(connection, rows)
    if rows or press:  # a clip goes at the latest with the moments of its time
        oldest = connection.execute("SELECT written FROM records ORDER BY sequence LIMIT 1").fetchone()
        media += connection.execute("DELETE FROM media WHERE touched < ?", (oldest[0] if oldest else now,)).rowcount
    delivered = sum(sequence <= through for (sequence,) in rows)
    _count(connection, delivered, len(rows) - delivered, media)
    return Dropped(delivered, len(rows) - delivered, media, len(rows) >= STEP or media >= STEP)


def shrink(connection: sqlite3.Connection) -> None:
    """Give a little space back to the disk once a quarter of the file is free; outside a transaction."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    if free > 1024 and free * 4 > pages:
        connection.execute("PRAGMA incremental_vacuum(512)").fetchall()


def _drop_records(connection: sqlite3.Connection, rows: Sequence[tuple[int]]) -> None:
    """Take records away, given as a run of sequences, and the moments whose highest revision is among them."""
    if not rows:
        return
    first, last = rows[0][0], rows[-1][0]
    keys = connection.execute("SELECT key FROM moments WHERE sequence BETWEEN ? AND ?", (first, last)).fetchall()
    for (key,) in keys:
        delete_views(connection, key)
    connection.executemany("DELETE FROM moments WHERE key = ?", keys)
    connection.execute("DELETE FROM records WHERE sequence BETWEEN ? AND ?", (first, last))
    # digests outlive their records, so that a resumed replay does not bring dropped moments back
    kept = min(last + 1, last_sequence(connection) - DIGESTS_KEPT)
    connection.execute("DELETE FROM revisions WHERE sequence < ?", (kept,))


def _drop_media(connection: sqlite3.Connection, rule: Retention, now: int) -> int:
    dropped = 0
    if rule.media_age is not None:
        dropped += connection.execute(
            "DELETE FROM media WHERE rowid IN (SELECT rowid FROM media WHERE touched < ? ORDER BY touched LIMIT ?)",
            (now - rule.media_age, STEP),
        ).rowcount
    held = connection.execute("SELECT coalesce(sum(bytes), 0) FROM media").fetchone()[0]
    if held > rule.media_bytes:
        doomed: list[tuple[int]] = []
        for rowid, size in connection.execute("SELECT rowid, bytes FROM media ORDER BY touched LIMIT ?", (STEP,)):
            if held <= rule.media_bytes:
                break
            held -= size
            doomed.append((rowid,))
        connection.executemany("DELETE FROM media WHERE rowid = ?", doomed)
        dropped += len(doomed)
    return dropped


def _count(connection: sqlite3.Connection, delivered: int, undelivered: int, media: int) -> None:
    connection.executemany(
        "INSERT INTO meta(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
        [
            (name, number)
            for name, number in (
                ("dropped_delivered", delivered),
                ("dropped_undelivered", undelivered),
                ("dropped_media", media),
            )
            if number
        ],
    )
