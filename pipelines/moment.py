"""A moment: what the mind made of one window, and the canonical bytes it is published as.

The body is byte-identical in every replay: keys sorted, floats rounded to six places with no minus zero and no NaN,
vectors as base64 of little-endian float16, times in integer nanoseconds. What differs from run to run travels in headers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.packet import Gap, Modality, Packet
from pipelines.protocols import Encoded, Fused, Vector
from pipelines.window import Window

LABELS = 10


@dataclass(frozen=True, slots=True, eq=False)
class StreamView:
    """What one stream brought to a moment.

    Attributes:
        packets: how many packets of the stream lie in the window.
        vector, native: unit vectors in the shared and in the encoder's own space, zeros where nothing could be read.
        labels: mean probability over what was encoded, best first.
        media: reference to the thumbnail or sound clip in the store, ``store:<hex>``, made from the source's bytes.
        errors: why packets could not be read.
    """

    modality: Modality
    packets: int
    vector: Vector
    native: Vector
    labels: tuple[tuple[str, float], ...]
    text: tuple[str, ...]
    quality: float
    confidence: float
    contribution: float
    media: str | None
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One understood window of one group, [start, end) in ns."""

    id: str
    group: str
    start: int
    end: int
    complete: bool
    revision: int
    gaps: Mapping[str, tuple[Gap, ...]]
    streams: Mapping[str, StreamView]
    fused: Vector
    alignment: Mapping[str, float]
    coherence: float
    attention: Mapping[tuple[str, str], Vector]
    model: str

    def ce_id(self, revision: int) -> str:
        """CloudEvents id of this moment at `revision`."""
        return f"{self.id}.{revision}"

    def body(self, revision: int) -> bytes:
        """The message, with `revision` written into it."""
        return canonical(
            {
                "alignment": dict(self.alignment),
                "attention": {f"{asker}>{seen}": map_.tolist() for (asker, seen), map_ in self.attention.items()},
                "coherence": self.coherence,
                "complete": self.complete,
                "end": self.end,
                "fused": float16(self.fused),
                "gaps": {
                    stream: [{"start": g.start, "end": g.end, "reason": g.reason} for g in gaps]
                    for stream, gaps in self.gaps.items()
                },
                "group": self.group,
                "id": self.id,
                "model": self.model,
                "revision": revision,
                "start": self.start,
                "streams": {name: _stream_body(view) for name, view in self.streams.items()},
            }
        )


def make_moment(
    window: Window,
    chosen: Mapping[str, Sequence[Packet]],
    encoded: Mapping[str, Sequence[Encoded]],
    fused: Fused,
    model: str,
) -> Moment:
    """Put together what the stages found out about one window; `chosen` are the packets that were encoded."""
    return Moment(
        id=window.id,
        group=window.group,
        start=window.start,
        end=window.end,
        complete=window.complete,
        revision=window.revision,
        gaps=window.gaps,
        streams={
            name: _view(packets, chosen[name], encoded[name], fused.contributions.get(name, 0.0))
            for name, packets in window.packets.items()
            if packets
        },
        fused=fused.vector,
        alignment=fused.alignment,
        coherence=fused.coherence,
        attention=fused.attention,
        model=model,
    )


def media_reference(packet: Packet) -> str | None:
    """Where the store keeps the picture or sound of a packet: named by the source's bytes, so equal in every run."""
    if isinstance(packet.payload, str):
        return None
    digest = hashlib.sha256(f"{packet.modality} {packet.rate} ".encode())
    digest.update(packet.payload if isinstance(packet.payload, bytes) else np.ascontiguousarray(packet.payload).data)
    return f"store:{digest.hexdigest()[:32]}"


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one JSON form of a document: sorted keys, no spaces, rounded floats, UTF-8."""
    text = json.dumps(_rounded(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


def float16(vector: Vector) -> str:
    """Base64 of a vector as little-endian float16."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def _view(
    packets: Sequence[Packet], chosen: Sequence[Packet], encoded: Sequence[Encoded], contribution: float
) -> StreamView:
    readable = [e for e in encoded if e.error is None]
    modality = packets[0].modality
    return StreamView(
        modality=modality,
        packets=len(packets),
        vector=_mean_direction([e.vector for e in readable]),
        native=_mean_direction([e.native for e in readable]),
        labels=_mean_labels([e.labels for e in readable]),
        text=tuple(p.payload for p in packets if isinstance(p.payload, str)),
        quality=_mean([e.quality for e in encoded]),
        confidence=_mean([e.confidence for e in encoded]),
        contribution=contribution,
        media=media_reference(chosen[-1]),
        errors=tuple(sorted({e.error for e in encoded if e.error is not None})),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _mean_direction(vectors: Sequence[Vector]) -> Vector:
    if not vectors:
        return np.zeros(0, np.float32)
    if len(vectors) == 1:
        return vectors[0]
    total = np.sum(np.stack(vectors).astype(np.float64), axis=0)  # (n, D) -> (D,)
    length = float(np.sqrt(np.sum(total * total)))
    return np.asarray(total / length if length > 0 else total, np.float32)


def _mean_labels(labels: Sequence[Sequence[tuple[str, float]]]) -> tuple[tuple[str, float], ...]:
    if len(labels) == 1:
        return tuple(labels[0][:LABELS])
    share: dict[str, float] = {}
    for row in labels:
        for name, p in row:
            share[name] = share.get(name, 0.0) + p / len(labels)
    return tuple(sorted(share.items(), key=lambda item: (-item[1], item[0]))[:LABELS])


def _stream_body(view: StreamView) -> dict[str, Any]:
    body: dict[str, Any] = {
        "confidence": view.confidence,
        "contribution": view.contribution,
        "embedding": float16(view.vector),
        "labels": [[name, p] for name, p in view.labels],
        "modality": view.modality,
        "packets": view.packets,
        "quality": view.quality,
    }
    if view.media is not None:
        body["media"] = view.media
    if view.text:
        body["text"] = list(view.text)
    if view.errors:
        body["errors"] = list(view.errors)
    return body


_PLAIN = frozenset({str, int, bool, type(None)})


def _rounded(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a moment holds {value}, which has no JSON form: a stage computed it, not the input")
        return round(value, 6) + 0.0  # -0.0 + 0.0 is 0.0
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return value
