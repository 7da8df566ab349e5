"""What every fusion gives of one window of named streams. D: shared space (384)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from multimodal.types import ModalityEmbedding

Floats = NDArray[np.float32]
Window = Mapping[str, Sequence[ModalityEmbedding]]
"""By stream, in time order: two cameras are two streams, two pictures of one camera are two entries of one."""


@dataclass(frozen=True, slots=True, eq=False)
class FusionResult:
    """One window, understood.

    Attributes:
        vector: unit vector (D,); zeros where nothing could be read.
        contributions: share of each stream in `vector`, sums to 1; empty where nothing could be read.
        alignment: cosine of each pair of streams, each before any attention, keyed ``a|b`` with a < b.
        coherence: mean of `alignment`; 1 where there is a single stream, 0 where there is none.
        attention: by (question stream, picture stream): (rows, columns), sums to 1. The attention that was used.
    """

    vector: Floats
    contributions: Mapping[str, float] = field(default_factory=dict)
    alignment: Mapping[str, float] = field(default_factory=dict)
    coherence: float = 1.0
    attention: Mapping[tuple[str, str], Floats] = field(default_factory=dict)


class WindowFusion(Protocol):
    """Thread-safe; the result is a function of the window alone."""

    def __call__(self, window: Window) -> FusionResult: ...
