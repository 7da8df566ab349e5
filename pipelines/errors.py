"""Everything that can go wrong in the stream, as one tree.

SensoriumError
├── SourceError          a source cannot go on; the other streams do
├── RecordingError       a recording cannot be read or written
├── StoreError           the store cannot be opened or written
├── Retry                a sink could not take records now; the outbox tries again
├── Reject               a sink will never take this one record; it goes to the dead letters
└── QuestionError        a search question that cannot be understood
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.protocols import Record


class SensoriumError(Exception):
    """Base of all errors that tell a person what was wrong, where, and what would be right."""


class SourceError(SensoriumError):
    """A source cannot go on."""


class RecordingError(SensoriumError):
    """A recording cannot be read or written."""


class StoreError(SensoriumError):
    """The store cannot be opened or written."""


class QuestionError(SensoriumError):
    """A search question that cannot be understood."""


class Retry(SensoriumError):  # noqa: N818 - the name is the instruction to the outbox
    """Raised by a sink: nothing of this batch is known to be durable, try it again later."""


class Reject(SensoriumError):  # noqa: N818 - the name is the instruction to the outbox
    """Raised by a sink: `record` can never be delivered; those before it in the batch are durable."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(reason)
        self.record = record
        self.reason = reason
