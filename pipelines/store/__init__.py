"""The store: moments, their outbox, and what search reads. `Store` writes, `Reader` reads beside it, `Outbox` delivers."""

from pipelines.store.outbox import Outbox, SinkState
from pipelines.store.reader import Reader
from pipelines.store.store import Store
from pipelines.store.values import Clip, Pending, Retention, Statistics, Stored

__all__ = ["Clip", "Outbox", "Pending", "Reader", "Retention", "SinkState", "Statistics", "Store", "Stored"]
