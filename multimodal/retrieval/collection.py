"""What was indexed of one modality: contents and metadata by key, and their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import InputError
from multimodal.retrieval.contents import decoded, encoded
from multimodal.retrieval.index import Hit
from multimodal.retrieval.saving import Reader, Writer
from multimodal.retrieval.segments import SegmentedIndex
from multimodal.types import ModalityEmbedding, ModalityType

Vectors = Tensor | NDArray[Any] | ModalityEmbedding

NEVER = -(2**63)
"""The instant of what was indexed without one: no interval holds it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was indexed; `timestamp` in ns, or None."""

    content: Any
    metadata: Mapping[str, Any]
    timestamp: int | None


class Collection:
    """Items of one modality by key. Not thread-safe."""

    def __init__(self, modality: ModalityType, dimension: int) -> None:
        self.modality = modality
        self.index = SegmentedIndex(dimension)
        self.items: dict[int, Item] = {}

    def extend(self, keys: Sequence[int], items: Sequence[Item], vectors: NDArray[np.float32]) -> None:
        """vectors: (N, D) as the index is to hold them."""
        times = [NEVER if item.timestamp is None else item.timestamp for item in items]
        if len(keys) == 1:
            self.index.add(keys[0], vectors[0], times[0])
        else:
            self.index.extend(keys, vectors, times)
        self.items.update(zip(keys, items, strict=True))

    def delete(self, key: int) -> bool:
        """Whether it was there."""
        self.index.remove(key)
        return self.items.pop(key, None) is not None

    def nearest(self, vector: NDArray[np.float32], count: int, between: tuple[int, int] | None) -> list[Hit]:
        return self.index.query(vector, count, between)

    def write(self, out: Writer) -> None:
        """As a part of a folder, under the name of the modality."""
        from safetensors.torch import save_file

        arrays: dict[str, NDArray[Any]] = {}
        tensors: dict[str, Tensor] = {}
        rows = []
        for key, item in self.items.items():
            where = f"the {self.modality} with key {key}"
            parts = (encoded(part, arrays, tensors, where) for part in (item.content, dict(item.metadata)))
            rows.append([key, *parts, item.timestamp])
        self.index.write(out, f"{self.modality}.index")
        out.document(self.modality, {"items": rows, "tensors": len(tensors)})
        with out.file(f"{self.modality}.arrays.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        if tensors:
            save_file(tensors, out.file(f"{self.modality}.safetensors"))

    @classmethod
    def read(cls, source: Reader, modality: ModalityType) -> Collection:
        """What `write` wrote."""
        from safetensors.torch import load_file

        document = source.document(modality)
        with np.load(source.file(f"{modality}.arrays.npz"), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        tensors = load_file(source.file(f"{modality}.safetensors")) if document["tensors"] else {}
        index = SegmentedIndex.read(source, f"{modality}.index")
        found = cls(modality, index.dimension)
        found.index = index
        for key, content, metadata, timestamp in document["items"]:
            found.items[key] = Item(decoded(content, arrays, tensors), decoded(metadata, arrays, tensors), timestamp)
        return found


def one_vector(vector: Vectors, dimension: int, what: str) -> Tensor:
    """(D,) or (1, D), of any float type, on any device -> float32 (D,) where it was.

    Raises:
        InputError: another shape, numbers that are not finite, or no direction.
    """
    return many_vectors(vector, dimension, what, single=True)[0]


def many_vectors(vectors: Vectors, dimension: int, what: str, *, single: bool = False) -> Tensor:
    """(N, D) -> float32 (N, D) where it was; with `single` N is 1 and (D,) will do."""
    held = vectors.embedding if isinstance(vectors, ModalityEmbedding) else torch.as_tensor(vectors)
    shape = tuple(held.shape)
    if single and held.ndim == 1:
        held = held[None]  # (D,) -> (1, D)
    if held.ndim != 2 or held.shape[1] != dimension or (single and len(held) != 1):
        right = f"({dimension},)" if single else f"(N, {dimension})"
        raise InputError(f"the embedding of {what} has the shape {shape}, expected {right}")
    held = held.detach().float()
    lengths = held.norm(dim=1)
    if not bool(torch.isfinite(lengths).all()):
        raise InputError(f"the embedding of {what} holds a number that is not finite")
    if bool((lengths == 0).any()):
        error = vectors.error if isinstance(vectors, ModalityEmbedding) else None
        raise InputError(f"the embedding of {what} is all zeros and has no direction{f' ({error})' if error else ''}")
    return held
