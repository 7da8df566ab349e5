"""Words from a file with times."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import BinaryIO

from connectors.blocking import in_thread
from connectors.sources._lines import GRAMMAR, TimedLines
from connectors.sources._times import instant
from pipelines.errors import SourceError
from pipelines.packet import Event
from pipelines.protocols import Overflow

_BATCH = 256


class TextFile:
    """Lines of a file, each with its event time, in the file's order.

    A line is a JSON object or has a tab:

        {"time": 1760000000000000000, "text": "tea is ready"}       nanoseconds since the epoch
        {"time": "2026-01-31T12:00:00.5Z", "text": "tea is ready"}  ISO 8601, UTC where no zone is given
        2026-01-31T12:00:00.5Z<TAB>tea is ready
        12.5<TAB>tea is ready                                       seconds since `start`

    Empty lines are passed over. A line without a time, and one over `max_bytes`, is skipped and counted in `skipped` (a long
    one with a readable time becomes a Gap); bytes that are no UTF-8 become U+FFFD and are counted. Every pass over `events`
    reads the file anew.

    Options:
        path: the file.
        start: what the seconds of lines count from: nanoseconds since the epoch, or ISO 8601.
        max_bytes: the longest line.
    """

    overflow: Overflow = "block"

    def __init__(self, stream: str, *, path: Path, start: int | str = 0, max_bytes: int = 2**20) -> None:
        self.stream = stream
        self.path = Path(path)
        self.skipped: Counter[str] = Counter()
        """Of the latest pass: why lines gave no packet, and how often."""
        self._max_bytes = max_bytes
        try:
            self._start = instant(start)
        except ValueError as error:
            raise SourceError(f"{stream}: `start` {error}") from error

    def events(self) -> AsyncGenerator[Event, None]:
        """Packets and Gaps. Raises SourceError where the file cannot be read, or no line of it has a time."""
        return in_thread(self._batches)

    def _batches(self) -> Generator[Sequence[Event], None, None]:
        lines = TimedLines(self.stream, start=self._start, max_bytes=self._max_bytes)
        self.skipped = lines.skipped
        try:
            with self.path.open("rb") as file:
                yield from self._read(file, lines)
        except OSError as error:
            raise SourceError(f"{self.stream}: {self.path} cannot be read: {error.strerror or error}") from error
        if lines.first_fault and not lines.sent:
            raise SourceError(
                f"{self.stream}: {self.path} has no line that can be read; {lines.first_fault}; {GRAMMAR}"
            )

    def _read(self, file: BinaryIO, lines: TimedLines) -> Generator[Sequence[Event], None, None]:
        batch: list[Event] = []
        held = 0
        while line := file.readline(self._max_bytes + 2):
            whole = len(line.rstrip(b"\r\n")) <= self._max_bytes
            if not line.endswith(b"\n") and not whole:
                while (rest := file.readline(2**16)) and not rest.endswith(b"\n"):
                    pass
            event = lines.read(line.rstrip(b"\r\n"), whole=whole)
            held += len(line)
            if event is not None:
                batch.append(event)
            if len(batch) >= _BATCH or held >= 2**16:
                yield batch
                batch, held = [], 0
        yield batch
