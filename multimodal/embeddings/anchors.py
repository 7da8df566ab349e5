"""One space seen from another, through texts that both know.

Towers that share no space are joined by what their text sides make of the same words (Wang et al. 2023, arXiv:2305.14381,
whose memory of texts this is): a vector of the one space attends to the anchors there, and the anchors of the other space
are averaged by that attention:

    y = unit( softmax(x A^T / temperature) B )          A: anchors (n, Da) in the one space, B: the same texts (n, Db)

With class names as anchors and a classifier's probabilities for the attention this is ConSE (arXiv:1312.5650), so what comes
from a checkpoint of others lies where the embedded encoders lie. The gap between a tower's pictures and its texts
(arXiv:2203.02053) does not enter: B holds texts only. What no anchor names lands near the mean of all: a join knows no more
than its words.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import InputError

Floats = NDArray[np.float32]


class Anchors:
    """Maps vectors of one space to another. Thread-safe; one row at a time, so its bits depend on that row alone.

    Args:
        own: the anchors in the space that vectors come from, (n, Da).
        other: the same texts where they are to go, (n, Db).
        temperature: of the softmax over cosines.
    """

    def __init__(self, own: Floats, other: Floats, *, temperature: float) -> None:
        if len(own) != len(other) or not len(own):
            raise InputError(f"anchors are the same texts in both spaces, not {len(own)} and {len(other)}")
        self._own, self._other = _unit(own), _unit(other)
        self._temperature = np.float32(temperature)
        digest = hashlib.sha256(self._own.tobytes() + self._other.tobytes() + self._temperature.tobytes())
        self.fingerprint = digest.hexdigest()[:12]

    def weights(self, vector: Floats) -> Floats:
        """(Da,) -> (n,): how much of each anchor it is; sums to 1."""
        logits = (self._own * _unit(vector[None])).sum(1) / self._temperature
        shares: Floats = np.exp(logits - logits.max())
        shares /= shares.sum()
        return shares

    def __call__(self, vector: Floats) -> Floats:
        """(Da,) -> unit vector (Db,)."""
        mean: Floats = (self.weights(vector)[:, None] * self._other).sum(0)  # (n, 1) * (n, Db) -> (Db,)
        unit: Floats = _unit(mean[None])[0]
        return unit


def _unit(rows: Floats) -> Floats:
    rows = np.ascontiguousarray(rows, np.float32)
    unit: Floats = rows / np.maximum(np.sqrt((rows * rows).sum(-1, keepdims=True)), 1e-12)
    return unit
