"""What travels in front of the aligner: packets, and the two things a source knows when it has no packet.

All instants are integer nanoseconds since the Unix epoch, in event time: when it happened, not when it arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

Modality: TypeAlias = Literal["image", "audio", "text"]
Payload: TypeAlias = "bytes | NDArray[np.int16] | str"


@dataclass(frozen=True, slots=True)
class Packet:
    """One observation of one stream, in the canonical form its source gave it.

    It checks nothing: sources check payloads, the Windower checks times.

    Attributes:
        stream: name of the stream, such as ``camera.front``.
        modality: ``image``, ``audio`` or ``text``.
        timestamp: event time of the first sample, ns.
        payload: JPEG bytes, int16 samples of shape (samples, channels), or a string.
        rate: samples per second of audio, else None.
        sequence: counts per stream, for people and logs; order of arrival is what the Windower trusts.
    """

    stream: str
    modality: Modality
    timestamp: int
    payload: Payload
    rate: int | None = None
    sequence: int = 0

    @property
    def end(self) -> int:
        """Event time just behind the last sample, floored to a nanosecond; the timestamp itself where nothing lasts."""
        if self.rate is None:
            return self.timestamp
        return self.timestamp + len(self.payload) * SECOND // self.rate

    @property
    def nbytes(self) -> int:
        """Memory its payload holds, in bytes (a string counts its UTF-8 length as if every character were ASCII)."""
        return self.payload.nbytes if isinstance(self.payload, np.ndarray) else len(self.payload)


@dataclass(frozen=True, slots=True)
class Bound:
    """A promise: nothing of `stream` older than `timestamp` will come. It is how silence advances time."""

    stream: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A known loss of `stream` in [start, end): device away, overrun, dropped by a channel."""

    stream: str
    start: int
    end: int
    reason: str


Event: TypeAlias = Packet | Bound | Gap
