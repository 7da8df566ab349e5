"""Moments made by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.moment import Moment, StreamView
from pipelines.packet import SECOND, Modality
from pipelines.protocols import Vector

_NOTHING: Vector = np.zeros(0, np.float32)


def a_view(
    modality: Modality = "image",
    vector: Vector = _NOTHING,
    *,
    native: Vector | None = None,
    labels: tuple[tuple[str, float], ...] = (),
    text: tuple[str, ...] = (),
    media: str | None = None,
) -> StreamView:
    """What one stream brought, with whatever the test is about; `native` is the shared vector unless given."""
    return StreamView(
        modality=modality,
        packets=1,
        vector=vector,
        native=vector if native is None else native,
        labels=labels,
        text=text,
        quality=1.0,
        confidence=1.0,
        contribution=1.0,
        media=media,
        errors=(),
    )


def a_moment(
    name: str = "m1",
    streams: Mapping[str, StreamView] | None = None,
    *,
    start: int = 0,
    length: int = 2 * SECOND,
    group: str = "hall",
    complete: bool = True,
) -> Moment:
    """A moment of `streams`, [start, start + length) ns."""
    return Moment(
        id=name,
        group=group,
        start=start,
        end=start + length,
        complete=complete,
        revision=0,
        gaps={},
        streams=streams or {},
        fused=_NOTHING,
        alignment={},
        coherence=1.0,
        attention={},
        model="small-mind-1",
    )
