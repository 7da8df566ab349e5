"""Where windows lie on the axis of event time, and where samples lie in windows. Integer arithmetic, exact."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.packet import SECOND, Packet


@dataclass(frozen=True, slots=True)
class Grid:
    """Windows [start, start + length) whose starts are the multiples of `hop`, the epoch being one of them."""

    length: int
    hop: int

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.length:
            raise ValueError(
                f"length={self.length}, hop={self.hop}: 0 < hop <= length is needed; "
                "with a longer hop what lies between two windows would be in none"
            )

    def ended_by(self, time: int) -> int:
        """Start of the newest window whose end is not after `time`."""
        return (time - self.length) // self.hop * self.hop

    def oldest_at(self, time: int) -> int:
        """Start of the oldest window that contains `time`: the first one whose end is after it."""
        return (time - self.length) // self.hop * self.hop + self.hop

    def newest_at(self, time: int) -> int:
        """Start of the newest window that contains `time`."""
        return time // self.hop * self.hop


# Samples are counted from an anchor: sample i of rate r covers [anchor + i/r, anchor + (i + 1)/r), and it belongs to a
# window when its middle does. The first sample of a window is then round((edge - anchor) * r / 1e9), halves going down.


def sample_at(edge: int, anchor: int, rate: int) -> int:
    """Index, counted from `anchor`, of the first sample whose middle is not before `edge`."""
    return -((SECOND - 2 * (edge - anchor) * rate) // (2 * SECOND))


def middle_of(sample: int, anchor: int, rate: int) -> int:
    """Event time of the middle of a sample, floored; comparing it with an edge is exact all the same."""
    return anchor + (2 * sample + 1) * SECOND // (2 * rate)


def cut_samples(packet: Packet, start: int, stop: int, anchor: int, sample: int) -> Packet:
    """Samples [start, stop) of an audio packet whose first one is number `sample` from `anchor` (a view, no copy)."""
    payload = packet.payload[start:stop]
    if start == 0 or packet.rate is None:
        return replace(packet, payload=payload)
    return replace(packet, timestamp=anchor + (sample + start) * SECOND // packet.rate, payload=payload)
