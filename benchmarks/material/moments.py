"""What the calibration is fitted to and measured on: moments as the encoders see them, questions, and which is right.

Items and the questions made of their captions fall into two halves by the hash of the caption, so that nothing of one half
- file, name or question - appears in the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import (
    RATE,
    Labelled,
    picture,
    plain,
    scene_photos,
    scene_sounds,
    sound,
    stamp_photos,
    stamp_sounds,
)
from benchmarks.material.packages import STAMPS, folder
from benchmarks.material.questions import (
    ABSENT_HEARD,
    ABSENT_SEEN,
    HEARD,
    HEARD_FORMS,
    KINDS_HEARD,
    KINDS_SEEN,
    OUTSIDE,
    SEEN_FORMS,
)
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.retrieval.words import words

VIEWS = 3
WINDOW = 2 * RATE
SPEECH = ("someone speaking", "a voice talking")
"""Captions of the spoken descriptions, one for each half."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One look at an item, as a moment would have it."""

    vector: NDArray[np.float32]
    native: NDArray[np.float32]
    labels: tuple[tuple[str, float], ...]
    quality: float


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A photograph or a sound; `kinds` are the questions of `KINDS_...` that it answers beside its caption.

    `twins`: pairs of views of the same part of it.
    """

    caption: str
    kinds: frozenset[str]
    half: int
    views: tuple[View, ...]
    twins: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question in words. `concept` is what it is about, or None where no item of the material is right.

    sort: "caption", "kind", "absent" (nameable, not there), or "outside" (not nameable).
    """

    text: str
    concept: str | None
    sort: str
    half: int
    vector: NDArray[np.float32]


def half_of(caption: str) -> int:
    return int(hashlib.sha256(" ".join(sorted(words(caption))).encode()).hexdigest(), 16) % 2


def seen_items(encoder: ImageModalityEncoder) -> list[Item]:
    """Photographs as they are, and as a camera might have them: cropped, darker, noisy, mirrored, JPEG."""
    random = np.random.default_rng(0)
    return [
        _item(entry, KINDS_SEEN, encoder([_photographed(picture(entry.path), view, random) for view in range(VIEWS)]),
              [(0, 1), (0, 2)])
        for entry in (*stamp_photos(), *scene_photos())
    ]


def heard_items(encoder: AudioModalityEncoder) -> list[Item]:
    """Sounds in whole windows of 2 s, as they are and quieter with noise; among them people who speak."""
    random = np.random.default_rng(0)
    speech = sorted((folder(STAMPS) / "usr/share/tuxpaint/stamps").rglob("*_desc.ogg"))[::60]
    found = []
    for entry in (*stamp_sounds(), *scene_sounds(), *(Labelled(SPEECH[i % 2], path) for i, path in enumerate(speech))):
        samples = sound(entry.path).astype(np.float32)
        views: list[NDArray[np.float32]] = []
        samples = np.resize(samples, max(len(samples), WINDOW))  # a short sound is repeated
        for start in range(0, len(samples) - WINDOW + 1, WINDOW)[:VIEWS]:
            window = samples[start:start + WINDOW]
            noise = random.normal(0, random.uniform(1, 40), WINDOW).astype(np.float32)
            views += [window, window * np.float32(random.uniform(0.25, 0.8)) + noise]
        entries = encoder([np.clip(view, -32768, 32767).astype(np.int16) for view in views])
        found.append(_item(entry, KINDS_HEARD, entries, [(i, i + 1) for i in range(0, len(views), 2)]))
    return found


def questions(encoder: TextModalityEncoder, items: Sequence[Item], modality: str) -> list[Asked]:
    """About what the items are called, what kind of thing they are, what is absent, and what has no name here."""
    random = np.random.default_rng(1)
    seen = modality == "image"
    forms, kinds = (SEEN_FORMS, KINDS_SEEN) if seen else (HEARD_FORMS, KINDS_HEARD)
    rows: list[tuple[str, str | None, str, int]] = []
    for caption in sorted({plain(item.caption) for item in items}):
        if len(caption.split()) > 5:
            continue
        bare = re.sub(r"^(a|an|the|some|two) ", "", caption)
        form = forms[int(random.integers(len(forms)))]
        rows += [(text, caption, "caption", half_of(caption)) for text in (caption, form.format(bare))]
    for kind in sorted({kind for _, kind in kinds}):
        rows += [(kind, kind, "kind", half) for half in (0, 1)]
    if not seen:
        rows += [(text, concept, "kind", i % 2) for i, (text, concept) in enumerate(HEARD)]
    for texts, sort in ((ABSENT_SEEN if seen else ABSENT_HEARD, "absent"), (OUTSIDE, "outside")):
        rows += [(text, plain(text) if sort == "absent" else None, sort, i % 2) for i, text in enumerate(texts)]
    vectors = encoder([text for text, *_ in rows])
    return [Asked(*row, entry.embedding.numpy()) for row, entry in zip(rows, vectors, strict=True)]


def truth(asked: Sequence[Asked], items: Sequence[Item], encoder: TextModalityEncoder) -> NDArray[np.int8]:
    """(questions, items): 1 right, 0 wrong, -1 not known (it is called something near; no words were counted for it)."""
    names = np.stack([e.embedding.numpy() for e in encoder([plain(item.caption) for item in items])])
    concepts = np.stack([e.embedding.numpy() for e in encoder([q.concept or q.text for q in asked])])
    found = np.where(concepts @ names.T > 0.5, -1, 0).astype(np.int8)  # (Q, D) @ (D, N)
    own = [frozenset(words(plain(item.caption))) for item in items]
    for row, question in enumerate(asked):
        if question.concept is None:
            found[row] = 0
            continue
        wanted = frozenset(words(question.concept))
        for column, item in enumerate(items):
            if (wanted and wanted <= own[column]) or question.concept in item.kinds:
                found[row, column] = 1
    return found


def strangers(item: Item, items: Sequence[Item], count: int, random: np.random.Generator) -> list[Item]:
    """Some of the others, without those that are the same file under another name."""
    found = [items[int(i)] for i in random.integers(len(items), size=count)]
    own = _unit(item.views[0].native)
    return [one for one in found if one.caption != item.caption and own @ _unit(one.views[0].native) < 0.995]


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.float32(np.linalg.norm(vector))


def _item(entry: Labelled, kinds: Iterable[tuple[str, str]], entries: Sequence[object],
          twins: Sequence[tuple[int, int]]) -> Item:
    path = Path(entry.path).as_posix()
    own = frozenset(kind for part, kind in kinds if part in path or part == entry.caption)
    return Item(entry.caption, own, half_of(plain(entry.caption)), tuple(map(_view, entries)),
                tuple(twins))


def _view(entry: object) -> View:
    from multimodal.types import ModalityEmbedding

    assert isinstance(entry, ModalityEmbedding)
    metadata = entry.metadata
    return View(entry.embedding.numpy(), metadata["native"].numpy(), tuple(metadata["labels"]), entry.quality_score)


def _photographed(pixels: NDArray[np.uint8], view: int, random: np.random.Generator) -> NDArray[np.uint8]:
    if view == 0:
        return pixels
    height, width = pixels.shape[:2]
    zoom = random.uniform(0.75, 0.98)
    rows, columns = int(height * zoom), int(width * zoom)
    top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
    frame = cv2.resize(pixels[top:top + rows, left:left + columns], (320, 240), interpolation=cv2.INTER_AREA)
    frame = np.clip(frame * random.uniform(0.6, 1.2) + random.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)
    if view == 2:
        frame = frame[:, ::-1]
    _, jpeg = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(40, 90))])
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded above
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)
