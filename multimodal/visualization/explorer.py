"""A page to walk through a sequence of windows: one file, no network, nothing outside it.

The page's policy forbids it to load or send anything; what people said is text in it, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np

from multimodal.errors import InputError
from multimodal.types import ModalityType, MultimodalOutput
from multimodal.visualization.canvas import numbers
from multimodal.visualization.charts import colours_of
from multimodal.visualization.overlay import as_pixels

SIDE = 480
"""Pixels of the longer side of a picture in the page, at most."""

MOST = 2000
"""Windows of one page: a browser opens that many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One window, as far as it can be shown.

    Attributes:
        title: what it is called, such as its time.
        picture: uint8 or float in [0, 1], (H, W, 3) or (3, H, W).
        maps: attention over the picture by who asks, each (rows, columns).
        contributions: share of each stream or modality.
        labels: by stream, the most probable [(name, probability)].
        texts: what was said or written.
        numbers: more of it, by name, such as ``{"coherence": 0.4}``; None is shown as a dash.
    """

    title: str
    picture: Any = None
    maps: Mapping[str, Any] = field(default_factory=dict)
    contributions: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    texts: Sequence[str] = ()
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, output: MultimodalOutput, *, title: str, picture: Any = None, text: str | None = None) -> Moment:
        """What a processor found out, with the input it was told of."""
        unified = output.unified_representation
        entries = output.modality_specific_outputs
        return cls(
            title=title,
            picture=picture,
            maps=dict(output.attention_analysis.weights) if picture is not None else {},
            contributions=unified.modality_contributions,
            labels={name: entry.metadata.get("labels", [])[:5] for name, entry in entries.items()
                    if entry.modality is not ModalityType.TEXT},
            texts=[text] if text else (),
            numbers={
                **unified.coherence_metrics,
                **{f"cosine {pair}": score for pair, score in unified.alignment_scores.items()},
                **{f"quality {name}": entry.quality_score for name, entry in entries.items()},
            },
        )  # fmt: skip


def explorer(moments: Sequence[Moment], title: str = "Moments") -> str:
    """The page.

    Raises:
        InputError: no moment, more than 2,000, or one that cannot be shown.
    """
    if not moments:
        raise InputError("the explorer needs at least one moment")
    if len(moments) > MOST:
        raise InputError(f"one page holds at most {MOST} moments, not {len(moments)}; make several")
    names = sorted({name for moment in moments for name in moment.contributions})
    document = {"moments": [_shown(moment) for moment in moments], "colours": colours_of(names), "names": names}
    style, script = (_asset(name) for name in ("explorer.css", "explorer.js"))
    data = json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")  # no text ends the element
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts = {
        "policy": html.escape(policy, quote=True).replace("&#x27;", "'"), "style": style, "script": script,
        "title": html.escape(" ".join(title.split())), "data": data,
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("explorer.html"))


def picture_uri(picture: Any) -> tuple[str, int, int]:
    """A JPEG as a data URI, no side longer than `SIDE`, with its width and height."""
    import cv2

    pixels = as_pixels(picture)
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    uri = "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
    return uri, pixels.shape[1], pixels.shape[0]


def _shown(moment: Moment) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "title": moment.title,
        "contributions": {name: _rounded(share) for name, share in moment.contributions.items()},
        "labels": {name: [[word, _rounded(p)] for word, p in row] for name, row in moment.labels.items()},
        "texts": list(moment.texts),
        "numbers": {name: None if value is None else _rounded(value) for name, value in moment.numbers.items()},
    }
    if moment.picture is not None:
        uri, width, height = picture_uri(moment.picture)
        shown |= {"picture": uri, "width": width, "height": height, "maps": {}}
        for name, weights in moment.maps.items():
            shares = numbers(weights, f"map {name}")
            if shares.ndim != 2 or shares.min() < 0:
                raise InputError(f"map {name} is (rows, columns), not below 0; it is {shares.shape}")
            shown["maps"][name] = np.round(shares, 5).tolist()
    return shown


def _rounded(value: float) -> float | None:
    value = round(float(value), 5)
    return value if np.isfinite(value) else None


def _asset(name: str) -> str:
    return (resources.files("multimodal.visualization") / "assets" / name).read_text(encoding="utf-8")
