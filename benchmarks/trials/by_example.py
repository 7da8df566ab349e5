"""Questions by example, in the encoder's own space and in the shared one: a picture or sound asks for others of its class.

Each thing asks all others, itself left out; right is what bears the same name, or lies in the same folder of the collection
("animals/birds"), or, for sounds, is another part of the same recording. A class of one asks nothing but is among the
candidates. "Features" is the plain cosine of what the encoder's last layer gives, of which the own space is made (see
`multimodal.embeddings.likeness`). mAP: the mean over questions of the precision at each right answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

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
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder
from multimodal.embeddings.likeness import OwnSpace
from multimodal.types import ModalityEmbedding

PART = 2 * RATE
SPACES = ("own", "features", "shared")


def measure(seeing: ImageModalityEncoder, hearing: AudioModalityEncoder) -> list[dict[str, Any]]:
    """A row per kind of class."""
    looks, sounds_like = OwnSpace.shipped("image"), OwnSpace.shipped("audio")
    seeing.own = hearing.own = _as_they_are
    photos, stamps = [*stamp_photos(), *scene_photos()], stamp_photos()
    seen = _spaces([seeing(picture(one.path)) for one in photos], looks)
    folders = [_folder(one) for one in stamps]
    some = {name: vectors[: len(stamps)] for name, vectors in seen.items()}
    rows = [
        _row("picture→picture", "of one name", seen, [plain(one.caption) for one in photos]),
        _row("picture→picture", "of one folder", some, folders),
    ]
    sounds = stamp_sounds()
    heard = _spaces([hearing(sound(one.path), sample_rate=RATE) for one in sounds], sounds_like)
    rows.append(_row("sound→sound", "of one folder", heard, [_folder(one) for one in sounds]))
    parts: list[ModalityEmbedding] = []
    origins: list[int] = []
    for number, one in enumerate([*sounds, *scene_sounds()]):
        samples = sound(one.path)
        starts = [0, len(samples) - PART] if len(samples) >= 2 * PART else []
        parts += [hearing(samples[start : start + PART], sample_rate=RATE) for start in starts]
        origins += [number] * len(starts)
    rows.append(_row("sound→sound", "of one recording", _spaces(parts, sounds_like), origins))
    return rows


def by_example(vectors: NDArray[Any], classes: Sequence[Hashable]) -> dict[str, float]:
    """(N, D) unit vectors and their classes -> mean average precision, R@1 and R@5, each asked of all others."""
    scores = vectors @ vectors.T  # (N, N)
    np.fill_diagonal(scores, -np.inf)
    same = np.array([[a == b for b in classes] for a in classes])
    np.fill_diagonal(same, False)
    asking = np.flatnonzero(same.any(1))
    order = np.argsort(-scores[asking], axis=1, kind="stable")[:, :-1]  # without itself, which comes last
    right = np.take_along_axis(same[asking], order, 1)  # (Q, N - 1), best first
    precision = right.cumsum(1) / np.arange(1, right.shape[1] + 1)
    found = {"mAP": float(((precision * right).sum(1) / right.sum(1)).mean())}
    return found | {f"R@{k}": float(right[:, :k].any(1).mean()) for k in (1, 5)}


def _row(task: str, classes_are: str, spaces: dict[str, NDArray[Any]], classes: Sequence[Hashable]) -> dict[str, Any]:
    sizes = Counter(classes)
    questions = sum(size for size in sizes.values() if size > 1)
    random = np.random.default_rng(0).standard_normal((len(classes), 64))
    found: dict[str, Any] = {"task": task, "classes": classes_are, "questions": questions, "candidates": len(classes) - 1}
    chance = by_example(random / np.linalg.norm(random, axis=1, keepdims=True), classes)
    for space, vectors in ({**spaces, "chance": None}).items():
        values = chance if vectors is None else by_example(vectors, classes)
        found |= {f"{space} {name}": round(value, 4) for name, value in values.items()}
    return found | {"gain in mAP": round(found["own mAP"] - found["shared mAP"], 4)}


def _spaces(entries: Sequence[ModalityEmbedding], own: OwnSpace) -> dict[str, NDArray[Any]]:
    features = np.stack([entry.metadata["native"].numpy() for entry in entries])
    return {
        "own": own(features),
        "features": features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12),
        "shared": np.stack([entry.embedding.numpy() for entry in entries]),
    }


def _as_they_are(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Instead of an encoder's own space, its features."""
    return features


def _folder(one: Labelled) -> str:
    return one.path.parent.as_posix()
