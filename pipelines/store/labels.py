"""Labels as the store keeps them: numbers into its table `names`, each with a probability, most probable first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LABEL = np.dtype([("number", "<i4"), ("probability", "<f8")])


class LabelColumns(NamedTuple):
    """Labels of n views by place: `numbers[k][i]` and `probabilities[k][i]` are view i's label k; 0 where it has fewer."""

    numbers: NDArray[np.int32]  # (L, n)
    probabilities: NDArray[np.float32]  # (L, n)


def pack_labels(labels: Sequence[tuple[int, float]]) -> bytes:
    """Twelve bytes a label."""
    return np.array(labels, _LABEL).tobytes()


def unpack_labels(packed: bytes) -> list[tuple[int, float]]:
    """What was packed."""
    return [(number, p) for number, p in np.frombuffer(packed, _LABEL).tolist()]


def label_columns(packed: Sequence[bytes]) -> LabelColumns:
    """Many at once."""
    flat = np.frombuffer(b"".join(packed), _LABEL)
    counts = np.fromiter(map(len, packed), np.int64, len(packed)) // _LABEL.itemsize
    views = np.repeat(np.arange(len(packed)), counts)
    places = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (int(counts.max(initial=0)), len(packed))
    numbers, probabilities = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    numbers[places, views] = flat["number"]
    probabilities[places, views] = flat["probability"]
    return LabelColumns(numbers, probabilities)
