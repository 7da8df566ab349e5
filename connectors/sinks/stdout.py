"""Bodies on standard output, one a line, for a pipe into another program."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import BinaryIO

from pipelines.errors import Reject, Retry
from pipelines.protocols import Record


class StdoutSink:
    """Writes each record's body and a line feed, and flushes after every batch. Sink name in configuration: ``stdout``.

    At least once: after a restart the records of the last batch may come again, with the same id and revision. When the
    program behind the pipe has gone, what would have been written becomes dead letters, so that the run still ends.

    Args:
        stream: binary stream to write to instead of standard output.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    async def write(self, records: Sequence[Record]) -> None:
        """Write a batch; Reject once nobody reads any more, Retry for any other failure."""
        stream = self._stream or sys.stdout.buffer

        def write() -> None:
            stream.write(b"".join(record.body + b"\n" for record in records))
            stream.flush()

        try:
            await asyncio.to_thread(write)
        except (BrokenPipeError, ValueError) as error:
            if records:
                raise Reject(records[0], "standard output is closed: the program that read it has ended") from error
        except OSError as error:
            raise Retry(f"cannot write to standard output: {error.strerror or error}") from error

    async def aclose(self) -> None:
        """Standard output is not ours to close."""
