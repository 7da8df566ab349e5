"""Does the attention point at what is named? `sensorium bench attention-pointing`.

Captioned photographs are put together, two halves side by side or four quarters, each part once named by its caption: the
share of the questions in which the named part gets the most of the attention that the text pays to the picture's cells. The
attention is that of the fusion itself, not a copy; the picture is 224x224, so two halves of 112 columns share the middle
column of the 7x7 cells, which counts half for each.
"""

from __future__ import annotations

import json as json_documents
from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import Labelled, picture, plain, scene_photos, stamp_photos
from benchmarks.material.packages import MaterialError
from multimodal.embeddings import ImageModalityEncoder, TextModalityEncoder
from multimodal.embeddings.runtime import Device
from multimodal.errors import MultimodalError
from multimodal.fusion.mean import MeanFusion
from multimodal.types import ModalityEmbedding

SIDE = 224
MOSAICS = 150
PARTS = {"two halves": (1, 2), "four quarters": (2, 2)}
FLOORS = {"two halves": 0.86, "four quarters": 0.64}
LONGEST_CAPTION = 4
"""Words."""


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the shares; 1 where a floor is missed, 2 where material or models cannot be had."""
    try:
        rows = measure(device)
    except (MaterialError, MultimodalError) as error:
        print(json_documents.dumps({"error": str(error)}) if json else f"bench attention-pointing: {error}")
        return 2
    missed = [name for name, (share, _) in rows.items() if share < FLOORS[name]]
    if json:
        found = {name: {"share": share, "questions": count, "floor": FLOORS[name]} for name, (share, count) in rows.items()}
        print(json_documents.dumps({"attention-pointing": found, "missed": missed}))
        return 1 if missed else 0
    for name, (share, count) in rows.items():
        chance = 1 / np.prod(PARTS[name])
        state = "below the floor of" if name in missed else "floor"
        print(f"{name:14} the named part gets most: {share:.3f} of {count} questions, "
              f"by chance {chance:.2f}, {state} {FLOORS[name]:.2f}")
    return 1 if missed else 0


def measure(device: Device = "auto") -> dict[str, tuple[float, int]]:
    """By kind of mosaic: the share, and how many questions were asked."""
    text, seeing = TextModalityEncoder(device=device), ImageModalityEncoder(device=device)
    photos = [one for one in (*stamp_photos(), *scene_photos()) if len(one.caption.split()) <= LONGEST_CAPTION]
    captions = sorted({plain(one.caption) for one in photos})
    spoken: dict[str, ModalityEmbedding] = dict(zip(captions, text(captions), strict=True))
    fusion = MeanFusion()
    found = {}
    for name, (rows, columns) in PARTS.items():
        random = np.random.default_rng(0)
        right = count = 0
        for _ in range(MOSAICS):
            chosen = _different(photos, rows * columns, random)
            entry = seeing(_mosaic(chosen, rows, columns))
            for number, one in enumerate(chosen):
                window = {"words": [spoken[plain(one.caption)]], "camera": [entry]}
                shares = _shares(fusion(window).attention["words", "camera"], rows, columns)
                right += int(shares.argmax()) == number
                count += 1
        found[name] = (round(right / count, 4), count)
    return found


def _different(photos: Sequence[Labelled], count: int, random: np.random.Generator) -> list[Labelled]:
    chosen: list[Labelled] = []
    for i in random.permutation(len(photos)):
        if all(plain(one.caption) != plain(photos[i].caption) for one in chosen):
            chosen.append(photos[i])
        if len(chosen) == count:
            break
    return chosen


def _mosaic(photos: Sequence[Labelled], rows: int, columns: int) -> NDArray[np.uint8]:
    """Each photograph whole, as large as fits its part, on white."""
    height, width = SIDE // rows, SIDE // columns
    whole = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for (row, column), one in zip(product(range(rows), range(columns)), photos, strict=True):
        pixels = picture(one.path)
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        h, w = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
        top, left = row * height + (height - h) // 2, column * width + (width - w) // 2
        whole[top:top + h, left:left + w] = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA)
    return whole


def _shares(attention: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float64]:
    """Attention (7, 7) by part, in reading order; a cell on a border counts for both sides by its area."""
    down, across = _cover(attention.shape[0], rows), _cover(attention.shape[1], columns)
    return np.asarray((down @ attention @ across.T).ravel())


def _cover(cells: int, parts: int) -> NDArray[np.float64]:
    """(parts, cells): how much of each cell lies in each part."""
    edges = np.arange(parts + 1) * cells / parts
    starts = np.arange(cells)
    covered = np.minimum(starts + 1, edges[1:, None]) - np.maximum(starts, edges[:-1, None])
    return np.asarray(np.clip(covered, 0, 1), np.float64)
