"""Words to pictures and sounds, and back: `sensorium bench retrieval`.

A caption asks for what bears it, a picture or sound for its caption, by the cosine in the shared space. R@k is the share of
questions with a right answer among the first k; chance is the same for answers drawn blindly. The floors are what plain
class names reached before on such material.
"""

from __future__ import annotations

import json as json_documents
from collections.abc import Callable
from math import comb
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
from benchmarks.material.packages import MaterialError
from benchmarks.trials import by_example as retrieval_examples
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.embeddings.runtime import Device
from multimodal.errors import MultimodalError
from multimodal.types import ModalityEmbedding

Encode = Callable[[Labelled], ModalityEmbedding]

RANKS = (1, 5, 10)
FLOORS = {"text→picture": 0.50, "text→sound": 0.43}
"""Of R@10, over the whole material."""

LONGEST_CAPTION = 6
"""Words; what is longer is a sentence about a thing and no name of it."""


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the figures; 1 where a floor is missed, 2 where material or models cannot be had."""
    try:
        rows, examples = measure(device), by_example(device)
    except (MaterialError, MultimodalError) as error:
        print(json_documents.dumps({"error": str(error)}) if json else f"bench retrieval: {error}")
        return 2
    missed = [
        f"{row['task']}: R@10 {row['R@10']:.3f} is below the floor of {floor:.2f}"
        for row in rows if (floor := FLOORS.get(row["task"])) is not None
        and row["material"] == "all" and row["R@10"] < floor
    ]  # fmt: skip
    missed += [
        f"{row['task']} {row['classes']}: the own space is {-row['gain in mAP']:.3f} mAP below the shared one"
        for row in examples if row["gain in mAP"] <= 0
    ]  # fmt: skip
    if json:
        print(json_documents.dumps({"retrieval": rows, "by example": examples, "floors": FLOORS, "missed": missed}))
        return 1 if missed else 0
    print(f"{'task':14} {'material':13} {'questions':>9} {'candidates':>10}   R@1   R@5  R@10   by chance")
    for row in rows:
        measured = " ".join(f"{row[f'R@{k}']:5.3f}" for k in RANKS)
        chance = " ".join(f"{row[f'chance@{k}']:5.3f}" for k in RANKS)
        print(f"{row['task']:14} {row['material']:13} {row['questions']:9} {row['candidates']:10} {measured}   {chance}")
    spaces = " ".join(f"{space:>12}" for space in retrieval_examples.SPACES)
    print(f"\n{'by example: mAP, R@1':20} {'right is':16} {'questions':>9} {spaces} chance")
    for row in examples:
        both = " ".join(f" {row[f'{space} mAP']:5.3f} {row[f'{space} R@1']:5.3f}" for space in retrieval_examples.SPACES)
        print(f"{row['task']:20} {row['classes']:16} {row['questions']:9} {both}  {row['chance mAP']:5.3f}")
    print("\n".join(missed) or "floors of R@10 over all: " + ", ".join(f"{t} {f:.2f} reached" for t, f in FLOORS.items()))
    return 1 if missed else 0


def by_example(device: Device = "auto") -> list[dict[str, Any]]:
    """A row per kind of class: mean average precision and recall in both spaces."""
    return retrieval_examples.measure(ImageModalityEncoder(device=device), AudioModalityEncoder(device=device))


def measure(device: Device = "auto") -> list[dict[str, Any]]:
    """A row per task and material."""
    text = TextModalityEncoder(device=device)
    seeing, hearing = ImageModalityEncoder(device=device), AudioModalityEncoder(device=device)
    rows: list[dict[str, Any]] = []
    collections: tuple[tuple[str, dict[str, list[Labelled]], Encode], ...] = (
        ("picture", {"stamps": stamp_photos(), "photographs": scene_photos()}, lambda one: seeing(picture(one.path))),
        ("sound", {"stamps": stamp_sounds(), "recordings": scene_sounds()},
         lambda one: hearing(sound(one.path), sample_rate=RATE)),
    )
    for thing, named, encode in collections:
        short = {name: [one for one in some if len(one.caption.split()) <= LONGEST_CAPTION] for name, some in named.items()}
        vectors = {name: np.stack([encode(one).embedding.numpy() for one in some]) for name, some in short.items()}
        whole = [one for some in short.values() for one in some]
        for name, some, rows_of in (*((n, short[n], vectors[n]) for n in short),
                                    ("all", whole, np.concatenate(list(vectors.values())))):
            captions = [plain(one.caption) for one in some]
            questions = sorted(set(captions))
            asked = np.stack([entry.embedding.numpy() for entry in text(questions)])
            right = np.array([[caption == question for caption in captions] for question in questions])
            cosines = asked @ rows_of.T  # (Q, D) @ (D, N)
            rows.append({"task": f"text→{thing}", "material": name, **recall(cosines, right)})
            rows.append({"task": f"{thing}→text", "material": name, **recall(cosines.T, right.T)})
    return rows


def recall(scores: NDArray[Any], right: NDArray[np.bool_]) -> dict[str, float]:
    """Of (questions, candidates) scores and which of them are right, at least one a question: sizes, R@k, chance."""
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    rank = (np.where(right, -np.inf, scores) >= best).sum(1)  # wrong ones not below the best right one
    found: dict[str, float] = {"questions": len(scores), "candidates": scores.shape[1]}
    for k in RANKS:
        found[f"R@{k}"] = round(float((rank < k).mean()), 4)
        found[f"chance@{k}"] = round(float(np.mean([_chance(int(n), scores.shape[1], k) for n in right.sum(1)])), 4)
    return found


def _chance(right: int, candidates: int, k: int) -> float:
    """That k drawn without looking hold one of the right ones."""
    return 1 - comb(candidates - right, k) / comb(candidates, k)

