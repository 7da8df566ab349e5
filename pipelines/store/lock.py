"""One writer per directory: an advisory lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pipelines.errors import StoreError

LOCK = "store.lock"


class DirectoryLock:
    """Held from construction to `release`. Raises StoreError, naming the holder, where another process or store has it."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write in {directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreError(
                f"the store in {directory} is being written by process {holder}; "
                f"stop that one first, or choose another directory (searching needs no lock)"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let the next writer in; may be called twice. The file stays, an empty name is no lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
