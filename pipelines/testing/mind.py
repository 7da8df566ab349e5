"""A mind without weights: small enough to read, exact enough to test the stream with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.packet import Modality, Packet
from pipelines.protocols import Encoded, Fused, Vector

DIMENSIONS = 16


class SmallMind:
    """Words become the sum of the directions of their letters' hashes, pictures and sounds the direction of their content.

    `before` is called with each batch of packets, in the worker thread: a test may count, wait or raise there.
    """

    fingerprint = "small-mind-1"

    def __init__(self, before: Callable[[Sequence[Packet]], None] = lambda packets: None) -> None:
        self._before = before

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        """A function of each packet's content alone."""
        self._before(packets)
        return [_encoded(packet.modality, packet.payload) for packet in packets]

    def fuse(self, windows: Sequence[Mapping[str, Sequence[Encoded]]]) -> list[Fused]:
        """The mean of all that could be read, each stream with an equal share."""
        return [_fused(window) for window in windows]

    def question(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
    ) -> Encoded:
        """As a packet of that content would be encoded."""
        if text is not None:
            return _encoded("text", text)
        if image is not None:
            return _encoded("image", image)
        if audio is not None:
            return _encoded("audio", audio[0])
        raise ValueError("a question is words, a picture or a sound")


def _encoded(modality: Modality, payload: bytes | NDArray[np.int16] | str) -> Encoded:
    if isinstance(payload, str):
        vector = _unit(sum((_direction(word.encode()) for word in payload.split()), np.zeros(DIMENSIONS, np.float32)))
        return Encoded(modality, vector, vector, text=payload)
    if not len(payload):
        nothing = np.zeros(DIMENSIONS, np.float32)
        return Encoded(modality, nothing, nothing, quality=0.0, confidence=0.0, error="empty")
    content = payload if isinstance(payload, bytes) else np.ascontiguousarray(payload).tobytes()
    vector = _direction(content)
    return Encoded(modality, vector, vector, labels=((hashlib.blake2b(content, digest_size=2).hexdigest(), 1.0),))


def _fused(window: Mapping[str, Sequence[Encoded]]) -> Fused:
    means = {
        stream: np.sum([e.vector for e in row], axis=0)
        for stream, row in window.items()
        if any(not e.error for e in row)
    }
    if not means:
        return Fused(np.zeros(DIMENSIONS, np.float32))
    return Fused(_unit(np.sum(list(means.values()), axis=0)), dict.fromkeys(means, 1.0 / len(means)))


def _direction(content: bytes) -> Vector:
    digest = hashlib.blake2b(content, digest_size=DIMENSIONS).digest()
    return _unit(np.frombuffer(digest, np.uint8).astype(np.float32) - 127.5)


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)
