"""Instants as people and files write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pipelines.packet import SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"(.*:\d\d)[.,](\d+)(.*)")
_LONGEST = 40
_LATEST = 2**63 // SECOND  # in the year 2262; what lies further is no time but a mistake


def instant(value: int | str) -> int:
    """Nanoseconds since the Unix epoch, from that number or from ISO 8601 (UTC where no zone is given).

    Fractions of a second are kept to the nanosecond. Raises ValueError that quotes what it cannot read.
    """
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError(f"{str(value)[:_LONGEST]} is no time: nanoseconds since 1970 end in the year 2262")
        return value
    text = value.strip()
    if len(text) > _LONGEST:
        raise ValueError(f"{text[:_LONGEST]!r}… is too long for a time")
    if re.fullmatch(r"[+-]?\d{1,20}", text) and not re.fullmatch(r"\d{4}|\d{8}", text):
        return instant(int(text))
    nanoseconds = 0
    if found := _FRACTION.fullmatch(text):
        text = found[1] + found[3]
        nanoseconds = int(found[2][:9].ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{value!r} is no time; write 2026-01-31T12:00:00Z, or nanoseconds since 1970") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + nanoseconds


def seconds(text: str) -> int:
    """Nanoseconds from decimal seconds, exactly. Raises ValueError."""
    try:
        number = Decimal(text.strip()[:_LONGEST])
        if abs(number) < _LATEST:
            return int((number * SECOND).to_integral_value())
    except ArithmeticError:
        pass
    raise ValueError(f"{text[:_LONGEST]!r} is no number of seconds")
