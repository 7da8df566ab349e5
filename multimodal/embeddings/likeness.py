"""The encoder's own space, for questions by example: which pictures look alike, which sounds sound alike.

Features after a rectifier are many small numbers and few large ones, all in one corner of the space: a plain cosine is ruled
by the few, and never low. So their roots are taken (Arandjelovic and Zisserman, CVPR 2012: the cosine of roots is the
Hellinger kernel) and what all have in common is taken away:

    native = unit( unit(sqrt(features)) - mean )

The means were measured on half of the material by `benchmarks.fitting.calibration`; `sensorium bench retrieval` says what
this brings beside the plain cosine and beside the shared space.
"""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

Floats = NDArray[np.float32]


class OwnSpace:
    """Features of one encoder to unit vectors whose cosine says how alike they are. A row never depends on its neighbours.

    Args:
        mean: of the roots, (F,); zeros where it is yet to be measured.
    """

    def __init__(self, mean: Floats) -> None:
        self.mean = mean
        self.fingerprint = hashlib.sha256(np.ascontiguousarray(mean, np.float32).tobytes()).hexdigest()[:4]

    @classmethod
    def shipped(cls, modality: str) -> OwnSpace:
        """Of the embedded encoder of "image" (1280) or "audio" (1024)."""
        data = (resources.files("multimodal.embeddings") / "data" / "own_means.safetensors").read_bytes()
        return cls(load(data)[modality])

    def named(self, fingerprint: str) -> str:
        """A runtime's fingerprint with this space in its first part, the name of the model: vectors of two such spaces cannot
        be compared."""
        model, _, rest = fingerprint.partition("/")
        return f"{model}.{self.fingerprint}/{rest}"

    def __call__(self, features: Floats) -> Floats:
        """(..., F), none below 0 -> (..., F)."""
        return _unit(_unit(np.sqrt(features)) - self.mean)


def _unit(rows: Floats) -> Floats:
    lengths = np.sqrt(np.square(rows).sum(-1, keepdims=True))
    unit: Floats = rows / np.maximum(lengths, np.float32(1e-12))
    return unit
