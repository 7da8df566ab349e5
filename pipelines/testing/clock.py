"""A clock that a test sets."""

from __future__ import annotations


class SettableClock:
    """Stands still at `time` (ns) until it is set or advanced."""

    def __init__(self, time: int = 0) -> None:
        self.time = time

    def now(self) -> int:
        """The time it was last told."""
        return self.time

    def advance(self, nanoseconds: int) -> int:
        """Move on, and say where it stands."""
        self.time += nanoseconds
        return self.time
