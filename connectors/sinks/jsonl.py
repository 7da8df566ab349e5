"""A file of bodies, one a line: byte-identical to that of an uninterrupted run, also after a kill at any instruction."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Literal, TypeAlias

from pipelines.errors import Reject, Retry, SensoriumError
from pipelines.protocols import Record

Fsync: TypeAlias = Literal["batch", "close", "never"]

TAIL_LINES = 2048
TAIL_BYTES = 256 * 1024 * 1024
_BLOCK = 1024 * 1024


class JsonlSink:
    """Appends each record's body and a line feed to `path`; every record exactly once in the file.

    Killed between writing and moving its cursor, the outbox sends the same records again. So the sink first cuts a last
    line that a kill left half written, and then skips what the end of the file already holds: records that repeat its
    last lines byte for byte, in order. (The lines are compared whole, which includes id and revision.) The file must not
    be moved or written by others meanwhile. Sink name in configuration: ``jsonl``.

    Args:
        path: file to append to; it and its directories are made when needed.
        fsync: ``batch`` makes every batch durable before it is acknowledged; ``close`` once at the end; ``never`` leaves
            it to the system, so that a power failure (not a kill) can lose acknowledged records.
    """

    def __init__(self, path: Path | str, *, fsync: Fsync = "batch") -> None:
        if fsync not in ("batch", "close", "never"):
            raise SensoriumError(f"fsync of the jsonl sink is {fsync!r}; it may be 'batch', 'close' or 'never'")
        self._path = Path(path)
        self._fsync = fsync
        self._one = threading.Lock()  # a cancelled write goes on in its thread while the sink is closed
        self._file: FileIO | None = None
        self._tail: list[bytes] = []
        self._repeated: deque[bytes] | None = None

    async def write(self, records: Sequence[Record]) -> None:
        """Append what the file does not have yet. Retry when the disk refuses; Reject for a body of several lines."""
        broken = next((place for place, record in enumerate(records) if b"\n" in record.body), None)
        await asyncio.to_thread(self._append, records[:broken])
        if broken is not None:
            raise Reject(records[broken], "the body has a line feed in it and would be two lines")

    async def aclose(self) -> None:
        """Make the file durable, unless told never to, and close it; may be called twice."""
        await asyncio.to_thread(self._finish)

    def _append(self, records: Sequence[Record]) -> None:
        with self._one:
            self._append_alone(records)

    def _append_alone(self, records: Sequence[Record]) -> None:
        try:
            file = self._file or self._open()
            end = file.seek(0, os.SEEK_END)
            lines = [record.body + b"\n" for record in records]
            fresh = self._without_repeats(lines)
            try:
                _write_all(file, b"".join(fresh))
                if self._fsync == "batch" and lines:
                    os.fsync(file.fileno())
            except OSError:
                self._cut(end)
                raise
        except OSError as error:
            raise Retry(f"cannot write {self._path}: {error.strerror or error}") from error

    def _open(self) -> FileIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self._path.exists()
        file = self._path.open("a+b", buffering=0)
        try:
            self._tail = _last_lines(file)
        except BaseException:
            file.close()
            raise
        self._repeated = None
        if fresh and self._fsync != "never":
            _sync_directory(self._path.parent)
        self._file = file
        return file

    def _without_repeats(self, lines: list[bytes]) -> list[bytes]:
        """Drop the lines that repeat the end of the file; after the first that does not, nothing is dropped any more."""
        if self._repeated is None:
            if not lines:
                return lines
            starts = [place for place, line in enumerate(self._tail) if line == lines[0]]
            self._repeated = deque(self._tail[starts[-1] :] if starts else ())
            self._tail = []
        skipped = 0
        while self._repeated and skipped < len(lines):
            if self._repeated.popleft() != lines[skipped]:
                self._repeated.clear()
                break
            skipped += 1
        return lines[skipped:]

    def _cut(self, end: int) -> None:
        """Undo a half-written batch; where even that fails, opening the file anew finds out what it holds."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            os.ftruncate(file.fileno(), end)

    def _finish(self) -> None:
        with self._one:
            file, self._file = self._file, None
            if file is None:
                return
            with file:
                if self._fsync != "never":
                    os.fsync(file.fileno())


def _last_lines(file: FileIO) -> list[bytes]:
    """Cut a torn last line, then return up to TAIL_LINES whole lines (and TAIL_BYTES), with their line feeds."""
    size = file.seek(0, os.SEEK_END)
    data = b""
    start = size
    torn: int | None = None
    while start > 0 and data.count(b"\n") <= TAIL_LINES and len(data) < TAIL_BYTES:
        step = min(_BLOCK, start)
        start -= step
        file.seek(start)
        data = file.read(step) + data
        if torn is None and b"\n" in data:
            torn = size - (start + data.rindex(b"\n") + 1)
    if torn is None:
        torn = len(data)  # not one whole line
    if torn:
        if not (start == 0 or torn < len(data)) or not data[len(data) - torn :].startswith(b"{"):
            raise OSError("its last line has no end and is no record; it is not a file of this sink")
        os.ftruncate(file.fileno(), size - torn)
        data = data[: len(data) - torn]
    lines = data.splitlines(keepends=True) if b"\r" not in data else [part + b"\n" for part in data.split(b"\n")[:-1]]
    if start > 0:
        lines = lines[1:]  # its beginning was not read
    return lines[-TAIL_LINES:]


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file.fileno(), view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
