"""Durations and sizes as people write them, and as the program holds them: integer nanoseconds and integer bytes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, TypeAlias

Duration: TypeAlias = Annotated[int, "duration"]
"""Nanoseconds; written `500ms`, `2s`, `1.5h`."""

Size: TypeAlias = Annotated[int, "size"]
"""Bytes; written `64MB` (10^6) or `64MiB` (2^20)."""

Positive = "positive"
"""Marks a number that may not be 0: ``Annotated[Duration, Positive]``."""

_SECOND = 1_000_000_000
_TIMES = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": _SECOND, "m": 60 * _SECOND, "min": 60 * _SECOND,
    "h": 3600 * _SECOND, "d": 86_400 * _SECOND, "w": 604_800 * _SECOND,
}  # fmt: skip
_SIZES = {"b": 1} | {
    f"{letter}{tail}".lower(): base**power
    for power, letter in enumerate("KMGT", 1)
    for tail, base in (("B", 1000), ("iB", 1024), ("", 1000))
}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*")
_LARGEST = 1 << 62


def parse_duration(text: object) -> int:
    """Nanoseconds of `2s`, `500ms`, `1h30m`; 0 needs no unit. Raises ValueError that says what would be right."""
    if text in (0, "0") and not isinstance(text, bool):
        return 0
    wrong = f"expected a duration such as 500ms, 2s or 1h, got {text!r}"
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise ValueError(f"{wrong} (which unit? {text}s, {text}ms)")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(wrong)
    total, at = Decimal(0), 0
    while at < len(text):
        match = _NUMBER.match(text, at)
        if match is None or match[2] not in _TIMES:
            raise ValueError(wrong)
        total += Decimal(match[1]) * _TIMES[match[2]]
        at = match.end()
    return _whole(total, wrong)


def parse_size(text: object) -> int:
    """Bytes of `64MB`, `2GiB` or a plain number. Raises ValueError that says what would be right."""
    wrong = f"expected a size such as 64MB or 2GiB, got {text!r}"
    if isinstance(text, bool) or not isinstance(text, (int, str)):
        raise ValueError(wrong)
    match = _NUMBER.fullmatch(str(text))
    if match is None or (match[2].lower() or "b") not in _SIZES:
        raise ValueError(wrong)
    return _whole(Decimal(match[1]) * _SIZES[match[2].lower() or "b"], wrong)


def _whole(value: Decimal, wrong: str) -> int:
    if value > _LARGEST:
        raise ValueError(f"{wrong}: too large")
    return int(value)


def format_duration(nanoseconds: int) -> str:
    """The shortest exact form: 2s, 500ms, 1h, 1500ms; parse_duration reads it back to the same number."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if nanoseconds and nanoseconds % _TIMES[unit] == 0:
            return f"{nanoseconds // _TIMES[unit]}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def format_size(count: int) -> str:
    """For people, three digits: 64 MB, 1.5 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"
