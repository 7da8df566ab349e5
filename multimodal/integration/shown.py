"""The space shown in the dimensions that were asked for. D: of the space, S: shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from multimodal.embeddings.space import orthogonal_map
from multimodal.fusion.window import Floats
from multimodal.types import ModalityEmbedding

SHARED = "shared"
"""Key in a shown embedding's metadata of the vector it is of, (D,)."""


class Shown:
    """Vectors (D,) as (S,) by fixed semi-orthogonal maps, lengths kept. Thread-safe.

    The maps are those of `SharedEmbeddingSpace`: S > D keeps every inner product, S < D is a projection brought back to
    its length, S = D is the vector itself. Two modalities shown in equally many dimensions are shown by one map. One vector
    at a time, in numpy and without threaded products: the same bits in every mode.

    Args:
        width: D.
        dims: S by name: of each modality, and "shared" of the fused vector.
        maps: (S, D) by S, as saved; made where None.
    """

    def __init__(self, width: int, dims: dict[str, int], maps: dict[int, torch.Tensor] | None = None) -> None:
        self.width, self.dims = width, dims
        sizes = sorted(set(dims.values()) - {width})
        self.maps = {size: orthogonal_map(width, size) if maps is None else maps[size] for size in sizes}

    @property
    def exact(self) -> bool:
        """No cosine changes."""
        return min(self.dims.values()) >= self.width

    def vector(self, name: str, vector: Floats) -> Floats:
        """(D,) -> (S,)"""
        size = self.dims[name]
        if size == self.width:
            return vector
        shown: Floats = (self.maps[size].numpy() * vector).sum(1)
        if size < self.width:
            length = np.sqrt((shown * shown).sum())
            if length > 0:
                shown *= np.sqrt((vector * vector).sum()) / length
        return shown

    def entry(self, entry: ModalityEmbedding) -> ModalityEmbedding:
        """The same with its embedding shown; ``metadata["shared"]`` is the vector itself, `features` stay as they are."""
        vector = entry.embedding
        shown = torch.from_numpy(self.vector(str(entry.modality), vector.numpy()))
        metadata: dict[str, Any] = {**entry.metadata, SHARED: vector}
        return replace(entry, embedding=shown, metadata=metadata)

    def original(self, entry: ModalityEmbedding) -> torch.Tensor | None:
        """(D,) of an entry as shown, or as an encoder gave it; None where it is neither."""
        if isinstance(kept := entry.metadata.get(SHARED), torch.Tensor):
            return kept
        size = entry.embedding.shape[-1]
        if size == self.width:
            return entry.embedding
        if size not in self.maps:
            return None
        return (self.maps[size] * entry.embedding[:, None].to(self.maps[size])).sum(0)  # (S, D), (S, 1) -> (D,)

    def described(self) -> dict[str, Any]:
        """For `processing_metadata`."""
        return {"space": self.width, **self.dims, "exact": self.exact}
