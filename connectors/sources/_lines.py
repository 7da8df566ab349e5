"""Lines of text that carry their time: one grammar for files and for standard input.

{"time": 1760000000000000000, "text": "tea is ready"}      nanoseconds since the epoch
{"time": "2026-01-31T12:00:00.5Z", "text": "tea is ready"}  ISO 8601, UTC where no zone is given
2026-01-31T12:00:00.5Z<TAB>tea is ready
12.5<TAB>tea is ready                                       seconds since `start`
"""

from __future__ import annotations

import json
from collections import Counter

from connectors.sources._times import instant, seconds
from pipelines.packet import Event, Gap, Packet

GRAMMAR = 'write {"time": NANOSECONDS or ISO 8601, "text": "..."} or TIME<TAB>TEXT, TIME being ISO 8601 or seconds'


class TimedLines:
    """Turns lines into packets of one stream, numbered from 0.

    Attributes:
        skipped: why lines gave no packet, or not quite the one that was meant, and how often.
        first_fault: the first such line in words; empty where there was none.
    """

    def __init__(self, stream: str, *, start: int, max_bytes: int) -> None:
        self._stream = stream
        self._start = start
        self._max_bytes = max_bytes
        self._number = 0
        self.sent = 0
        self.skipped: Counter[str] = Counter()
        self.first_fault = ""

    def read(self, line: bytes, *, whole: bool = True) -> Event | None:
        """The event of one line without its newline; None for an empty line and for one that is counted as skipped.

        `whole=False`: only the beginning of a line over the limit. Where it tells its time, a Gap tells the loss.
        """
        self._number += 1
        text = decode(line, self.skipped)
        if self._number == 1:
            text = text.removeprefix("\ufeff")
        if not text.strip():
            return None
        try:
            if not whole and text.startswith("{"):
                raise ValueError(f"line is over the limit of {self._max_bytes} bytes")
            time, words = self._split(text)
        except ValueError as error:
            self.skipped["no time or no text" if whole else "too long"] += 1
            self.first_fault = self.first_fault or f"line {self._number}: {error}"
            return None
        if not whole:
            self.skipped["too long"] += 1
            return Gap(self._stream, time, time + 1, f"text is over the limit of {self._max_bytes} bytes")
        packet = Packet(self._stream, "text", time, words, None, self.sent)
        self.sent += 1
        return packet

    def _split(self, text: str) -> tuple[int, str]:
        """Time and words of a line. Raises ValueError."""
        if text.startswith("{"):
            try:
                fields = json.loads(text)
            except RecursionError as error:
                raise ValueError("JSON is nested too deeply") from error
            time, words = fields.get("time"), fields.get("text")
            if type(time) not in (int, str) or not isinstance(words, str):
                raise ValueError("JSON line needs `time` (nanoseconds or ISO 8601) and `text` (a string)")
            return instant(time), words.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        time, tab, words = text.partition("\t")
        if not tab:
            raise ValueError("no tab between time and text")
        try:
            return self._start + seconds(time), words
        except ValueError:
            return instant(time), words


def decode(line: bytes, skipped: Counter[str]) -> str:
    """UTF-8, with U+FFFD for what is none, counted."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        skipped["invalid UTF-8 replaced"] += 1
        return line.decode("utf-8", "replace")
