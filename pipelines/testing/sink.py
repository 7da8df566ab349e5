"""A sink that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.protocols import Record


class CollectingSink:
    """Keeps the records it was given, in order. `before` is called with each batch first and may raise Retry or Reject."""

    def __init__(self, before: Callable[[Sequence[Record]], None] = lambda records: None) -> None:
        self.records: list[Record] = []
        self.closed = False
        self._before = before

    async def write(self, records: Sequence[Record]) -> None:
        """Remember a batch, unless `before` objects."""
        self._before(records)
        self.records.extend(records)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True
