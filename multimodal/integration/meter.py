"""What a processor has done so far, in numbers."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path


class Meter:
    """Counters and seconds, summed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}
        self.last_error: str | None = None

    def count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def took(self, name: str, seconds: float) -> None:
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._counts["errors"] += 1
            self.last_error = f"{type(error).__name__}: {error}"

    def read(self) -> tuple[dict[str, int], dict[str, float]]:
        """(counts, seconds) by name."""
        with self._lock:
            return dict(self._counts), dict(self._seconds)


def resident() -> int | None:
    """Bytes of this process in memory; None where the system does not tell (it is read from /proc)."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
