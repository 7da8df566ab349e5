"""What goes into the store, what comes back, and how much it may keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from pipelines.errors import StoreError

WhenFull: TypeAlias = Literal["block", "drop"]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Clip:
    """A thumbnail or a short sound, as bytes of a file: `kind` is its media type, such as ``image/jpeg``."""

    kind: str
    content: bytes


class Stored(NamedTuple):
    """Where a moment came to lie: its place in the outbox and the revision the store gave it."""

    sequence: int
    revision: int


class Pending(NamedTuple):
    """What a sink has still to get: records, and since when the oldest of them waits (ns since the epoch), if any."""

    items: int
    oldest: int | None


@dataclass(frozen=True, slots=True)
class Retention:
    """How much the store keeps. Ages count from when a thing was written, not from when it happened.

    Attributes:
        max_age: ns; delivered records older than this go, with their moments. None keeps them.
        max_bytes: budget of the database file.
        when_full: the answer when it is spent: `block` takes nothing new until age has made room; `drop` gives up the
            oldest delivered records, then the oldest undelivered ones. Either is counted and shown.
        media_age, media_bytes: thumbnails and sound clips, oldest use first, whatever becomes of their moments.
    """

    max_age: int | None = None
    max_bytes: int = 10 * 1024 * MEBIBYTE
    when_full: WhenFull = "drop"
    media_age: int | None = 7 * DAY
    media_bytes: int = 1024 * MEBIBYTE

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {value}, it must be {least} or more"
            for name, value, least in (
                ("max_age", self.max_age, 0),
                ("max_bytes", self.max_bytes, MEBIBYTE),
                ("media_age", self.media_age, 0),
                ("media_bytes", self.media_bytes, 0),
            )
            if value is not None and value < least
        ]
        if self.when_full not in ("block", "drop"):
            wrong.append(f"when_full is {self.when_full!r}, it must be 'block' or 'drop'")
        if wrong:
            raise StoreError("retention: " + "; ".join(wrong))


@dataclass(frozen=True, slots=True)
class Statistics:
    """The state of the store at one instant.

    Attributes:
        stored, ignored, commits: since it was opened; `ignored` bodies were there already.
        dropped_delivered, dropped_undelivered, dropped_media: over the life of the database.
        queued, queued_bytes: puts waiting for the writer.
        bytes: used pages of the database, what the budget is about; wal_bytes: its log, bounded by checkpoints.
        last_stored: when the newest record was written, ns since the epoch.
        blocked: why nothing is written at this moment: budget spent, disk full; else None.
        notice: that a corrupt database was put aside, and where.
    """

    moments: int
    records: int
    last_sequence: int
    last_stored: int | None
    stored: int
    ignored: int
    commits: int
    dropped_delivered: int
    dropped_undelivered: int
    dropped_media: int
    media: int
    media_bytes: int
    dead_letters: int
    queued: int
    queued_bytes: int
    bytes: int
    wal_bytes: int
    blocked: str | None
    notice: str | None
