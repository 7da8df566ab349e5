"""What one moment becomes in the tables. Plain functions over a connection that has a transaction open."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.moment import Moment
from pipelines.protocols import Vector
from pipelines.store.labels import pack_labels
from pipelines.store.schema import GONE_KEPT
from pipelines.store.values import Clip, Stored


@dataclass(frozen=True, slots=True)
class _View:
    stream: str
    modality: str
    labels: tuple[tuple[str, float], ...]
    quality: float
    confidence: float
    text: str | None
    media: str | None
    shared: bytes | None
    native: bytes | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A moment ready to be written: all that costs time and needs no database was done in the caller's thread."""

    moment: Moment
    first_body: bytes
    digest: bytes
    views: tuple[_View, ...]
    clips: Mapping[str, Clip]
    headers: str
    nbytes: int


def prepare(moment: Moment, clips: Mapping[str, Clip], headers: Mapping[str, str]) -> Prepared:
    """Serialise `moment`. The digest is over its body at revision 0, so it knows equal bodies whatever their number."""
    body = moment.body(0)
    views = tuple(
        _View(
            stream=_clean(name),
            modality=view.modality,
            labels=tuple((_clean(name), p) for name, p in view.labels),
            quality=view.quality,
            confidence=view.confidence,
            text=_clean("\n".join(view.text)) if view.text else None,
            media=view.media,
            shared=_packed(view.vector),
            native=None if view.native is view.vector or _same(view.native, view.vector) else _packed(view.native),
        )
        for name, view in moment.streams.items()
    )
    held = 2 * len(body) + sum(len(clip.content) for clip in clips.values())
    digest = hashlib.blake2b(body, digest_size=16).digest()
    return Prepared(moment, body, digest, views, dict(clips), json.dumps(dict(headers)), held)


def put(connection: sqlite3.Connection, item: Prepared, now: int) -> Stored | None:
    """Write one moment: its record, and in place of its lower revision what search needs. None: it was there already."""
    moment = item.moment
    known = connection.execute("SELECT revision, digest FROM revisions WHERE moment = ?", (moment.id,)).fetchall()
    if any(digest == item.digest for _, digest in known):
        return None
    revision = 1 + max((number for number, _ in known), default=-1)
    sequence = connection.execute(
        "INSERT INTO records(moment, revision, grp, body, headers, written) VALUES(?, ?, ?, ?, ?, ?)",
        (
            moment.id,
            revision,
            moment.group,
            item.first_body if revision == 0 else moment.body(revision),
            item.headers,
            now,
        ),
    ).lastrowid
    if sequence is None:
        raise sqlite3.InternalError("an insert gave no row id")
    connection.execute(
        "INSERT INTO revisions(sequence, moment, revision, digest) VALUES(?, ?, ?, ?)",
        (sequence, moment.id, revision, item.digest),
    )
    _replace_moment(connection, item, sequence, revision)
    connection.executemany(
        "INSERT INTO media(ref, kind, content, bytes, touched) VALUES(?, ?, ?, ?, ?)"
        " ON CONFLICT(ref) DO UPDATE SET touched = max(touched, excluded.touched)",
        [(ref, clip.kind, clip.content, len(clip.content), now) for ref, clip in item.clips.items()],
    )
    return Stored(sequence, revision)


def delete_views(connection: sqlite3.Connection, moment: int) -> None:
    """Take a moment's views, vectors and words away, and leave word of it for readers."""
    views = connection.execute("SELECT key, text FROM views WHERE moment = ?", (moment,)).fetchall()
    connection.executemany(
        "INSERT INTO words(words, rowid, text) VALUES('delete', ?, ?)", [v for v in views if v[1] is not None]
    )
    keys = [(key,) for key, _ in views]
    connection.executemany("DELETE FROM vectors_shared WHERE view = ?", keys)
    connection.executemany("DELETE FROM vectors_native WHERE view = ?", keys)
    connection.executemany("INSERT INTO gone(view) VALUES(?)", keys)
    connection.execute("DELETE FROM views WHERE moment = ?", (moment,))
    connection.execute("DELETE FROM gone WHERE change <= (SELECT max(change) FROM gone) - ?", (GONE_KEPT,))


def _replace_moment(connection: sqlite3.Connection, item: Prepared, sequence: int, revision: int) -> None:
    moment = item.moment
    old = connection.execute("SELECT key FROM moments WHERE id = ?", (moment.id,)).fetchone()
    if old is not None:
        delete_views(connection, old[0])
        connection.execute("DELETE FROM moments WHERE key = ?", old)
    key = connection.execute(
        "INSERT INTO moments(id, revision, sequence, grp, start, finish, complete, model) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (moment.id, revision, sequence, moment.group, moment.start, moment.end, moment.complete, moment.model),
    ).lastrowid
    connection.executemany(
        "INSERT OR IGNORE INTO streams(stream, modality) VALUES(?, ?)", [(v.stream, v.modality) for v in item.views]
    )
    numbers = _numbers(connection, {name for view in item.views for name, _ in view.labels})
    for view in item.views:
        number = connection.execute(
            "INSERT INTO views(moment, stream, modality, start, labels, quality, confidence, text, media)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                view.stream,
                view.modality,
                moment.start,
                pack_labels([(numbers[name], p) for name, p in view.labels]),
                view.quality,
                view.confidence,
                view.text,
                view.media,
            ),
        ).lastrowid
        if view.shared is not None:
            connection.execute("INSERT INTO vectors_shared(view, vector) VALUES(?, ?)", (number, view.shared))
        if view.native is not None:
            connection.execute("INSERT INTO vectors_native(view, vector) VALUES(?, ?)", (number, view.native))
        if view.text is not None:
            connection.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (number, view.text))


def _numbers(connection: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    """The numbers of these names, new ones given to those that have none. They stay: there are as many as a model knows."""
    found: dict[str, int] = {}
    for name in sorted(names):
        row = connection.execute("SELECT number FROM names WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = connection.execute("INSERT INTO names(name) VALUES(?) RETURNING number", (name,)).fetchone()
        found[name] = row[0]
    return found


def _packed(vector: Vector) -> bytes | None:
    """Little-endian float16, or None for a vector that no question can find: empty, zero, not finite."""
    if not 0.0 < float(vector @ vector) < math.inf:  # NaN included
        return None
    return vector.astype("<f2").tobytes()


def _same(a: Vector, b: Vector) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form; they become question marks, as they do in the body."""
    return text.encode("utf-8", "replace").decode("utf-8")
