"""Is the training-free mean better with the measured quality as its weights than with equal ones?

Moments of things that the material shows and lets hear: one of the two is spoiled as cameras and microphones spoil it, and
the caption asks for its moment among all. The figure is how much better the answer's rank is with the qualities as measured
from the signal than with all at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import RATE, Labelled, picture, plain, sound, stamp_photos, stamp_sounds
from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure
from multimodal.errors import MultimodalError
from multimodal.types import ModalityEmbedding

SEED = 0
NAME = "quality-weighted mean over equal"
Pixels = NDArray[np.uint8]
Samples = NDArray[np.int16]


def _dark(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return np.clip(pixels * 0.06 + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def _blurred(pixels: Pixels, _random: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(cv2.resize(pixels, (224, 224)), (0, 0), 9), np.uint8)


def _covered(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return np.clip(20 + random.normal(0, 0.5, pixels.shape), 0, 255).astype(np.uint8)


def _drowned(samples: Samples, random: np.random.Generator) -> Samples:
    loud = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return np.clip(samples + random.normal(0, 3 * loud, len(samples)), -32768, 32767).astype(np.int16)


def _clipped(samples: Samples, _random: np.random.Generator) -> Samples:
    return np.clip(samples.astype(np.float64) * 60, -32768, 32767).astype(np.int16)


def _dead(samples: Samples, random: np.random.Generator) -> Samples:
    return random.normal(0, 20, len(samples)).astype(np.int16)


SPOILED: dict[str, dict[str, Callable[..., Any]]] = {
    "picture": {"dark": _dark, "blurred": _blurred, "covered": _covered},
    "sound": {"in noise": _drowned, "overdriven": _clipped, "unplugged": _dead},
}


def quality_weighting() -> list[Figure]:
    """Mean reciprocal rank with quality less that with equal weights, in each way of spoiling and unspoiled."""
    try:
        return _measured()
    except (MaterialError, MultimodalError) as missing:
        return [Figure(NAME, None, "MRR", note=f"not measured: {missing}")]


def _measured() -> list[Figure]:
    from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder

    text, seeing, hearing = TextModalityEncoder(), ImageModalityEncoder(), AudioModalityEncoder()
    random = np.random.default_rng(SEED)
    things = _things()
    captions = [plain(photo.caption) for photo, _ in things]
    asked = np.stack([entry.embedding.numpy() for entry in text(captions)])
    pixels, samples = [picture(photo.path) for photo, _ in things], [sound(heard.path, 4.0) for _, heard in things]
    seen, heard = seeing(pixels), [hearing(one, sample_rate=RATE) for one in samples]
    trials = {"nothing spoiled": (seen, heard)}
    for name, spoil in SPOILED["picture"].items():
        trials[f"picture {name}"] = (seeing([spoil(one, random) for one in pixels]), heard)
    for name, spoil in SPOILED["sound"].items():
        trials[f"sound {name}"] = (seen, [hearing(spoil(one, random), sample_rate=RATE) for one in samples])
    figures, all_apart = [], []
    for name, (pictures, sounds) in trials.items():
        ranks = [_reciprocal(asked, _fused(pictures, sounds, equal)) for equal in (False, True)]
        all_apart.append(ranks[0] - ranks[1])
        quality = [float(np.mean([entry.quality_score for entry in entries])) for entries in (pictures, sounds)]
        figures.append(_better(name, all_apart[-1], None, f"{ranks[0].mean():.3f} and {ranks[1].mean():.3f}, {len(things)} "
                               f"moments; quality of picture {quality[0]:.2f}, of sound {quality[1]:.2f}"))
    return [*figures, _better("all of these", np.mean(all_apart, axis=0), 0.0, "its condition for being the default")]


def _better(name: str, apart: NDArray[np.float64], goal: float | None, note: str) -> Figure:
    """`apart` (N,): by question."""
    error = float(apart.std(ddof=1)) / len(apart) ** 0.5
    return Figure(f"{NAME}: {name}", float(apart.mean()), "MRR", goal, note=f"± {error:.3f} (standard error); {note}")


def _things() -> list[tuple[Labelled, Labelled]]:
    """Photo and sound of the same stamp, one of each caption."""
    sounds = {one.path.with_suffix(""): one for one in stamp_sounds()}
    pairs = {plain(one.caption): (one, sounds[key]) for one in stamp_photos() if (key := one.path.with_suffix("")) in sounds}
    return list(pairs.values())


def _fused(pictures: Sequence[ModalityEmbedding], sounds: Sequence[ModalityEmbedding], equal: bool) -> NDArray[np.float32]:
    from multimodal.fusion import MeanFusion

    mean = MeanFusion()
    rows = []
    for pair in zip(pictures, sounds, strict=True):
        entries = [replace(entry, quality_score=1.0) if equal else entry for entry in pair]
        rows.append(mean({"camera": [entries[0]], "microphone": [entries[1]]}).vector)
    return np.stack(rows)


def _reciprocal(asked: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,): 1 / rank of each question's own moment; equal scores count as half before it."""
    cosines = asked @ vectors.T  # (N, D) @ (D, N)
    own = np.diag(cosines)[:, None]
    ahead = (cosines > own).sum(1) + ((cosines == own).sum(1) - 1) / 2
    return np.asarray(1 / (1 + ahead), np.float64)
