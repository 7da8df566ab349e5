"""Class scores to the shared space: convex combination of semantic embeddings (Norouzi et al., arXiv:1312.5650).

A classifier that was never shown a sentence gets a place beside sentences: the mean of what the text encoder makes of the
names of its classes, weighted by their probabilities, at unit length. What no class name comes near is outside the
vocabulary, and `Vocabulary.nearest` is how to see that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

Floats = NDArray[np.float32]


class Vocabulary:
    """What an encoder can name.

    Attributes:
        names: C class names for people, in the order of the classifier.
        embeddings: unit vectors of the names in the shared space, float32 (C, D).
    """

    def __init__(self, names: Sequence[str], embeddings: Floats) -> None:
        self.names = tuple(names)
        self.embeddings = embeddings

    def nearest(self, vector: Floats | Tensor, k: int = 5) -> list[tuple[str, float]]:
        """The k class names nearest to a vector (D,) in the shared space, best first, with their cosines."""
        v = np.asarray(vector, dtype=np.float32).reshape(-1)
        scores = self.embeddings @ (v / max(float(np.linalg.norm(v)), 1e-12))
        return [(self.names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:k]]

    def top(self, probabilities: Floats, k: int = 10) -> list[list[tuple[str, float]]]:
        """Per row of (N, C): the k most probable names, best first (the lower class first where two are equal)."""
        some = np.argpartition(-probabilities, k, axis=1)[:, :k]
        some.sort(axis=1)
        values = np.take_along_axis(probabilities, some, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        some, values = np.take_along_axis(some, order, axis=1), np.take_along_axis(values, order, axis=1)
        names = self.names
        return [
            [(names[i], p) for i, p in zip(row, ps, strict=True)]
            for row, ps in zip(some.tolist(), values.tolist(), strict=True)
        ]

    def place(self, probabilities: Floats, k: int) -> Floats:
        """One row (C,) of class probabilities or scores -> unit vector (D,) of its k best classes.

        Sums in numpy, element by element: no threaded matrix product, so the bits depend on this row alone.
        """
        some = np.sort(np.argpartition(-probabilities, k)[:k])
        mean = (probabilities[some, None] * self.embeddings[some]).sum(0)
        unit: Floats = mean / max(float(np.sqrt((mean * mean).sum())), 1e-12)
        return unit

    def save(self, folder: Path) -> None:
        """Write ``vocabulary.json`` and ``vocabulary.safetensors``."""
        (folder / "vocabulary.json").write_text(json.dumps(self.names, ensure_ascii=False), encoding="utf-8")
        save_file({"embeddings": self.embeddings}, folder / "vocabulary.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        return cls(names, load_file(folder / "vocabulary.safetensors")["embeddings"])


def place(logits: Tensor, embeddings: Tensor, k: int) -> Tensor:
    """(..., C) class logits, (C, D) class names -> (..., D) unit vectors of the k best classes, inside a graph."""
    values, indices = logits.softmax(-1).topk(k, dim=-1)  # (..., k)
    return F.normalize((values[..., None] * embeddings[indices]).sum(-2), dim=-1)  # (..., k, D) -> (..., D)
