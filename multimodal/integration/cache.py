"""Encodings of inputs that come again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from multimodal.types import ModalityEmbedding, ModalityType

Encode = Callable[[ModalityType, Sequence[Any]], list[ModalityEmbedding]]


class EncodingCache:
    """The encodings used last, by the content of the input (SHA-256). Thread-safe; two threads may both compute one input.

    It keeps copies and hands out copies, so nobody can change what another gets, and no entry holds a whole batch in memory.
    What could not be read is not kept.

    Args:
        encode: (modality, items) -> entries, for what is not here.
        size: entries at most; 0 passes everything on.
        budget: bytes at most.
    """

    def __init__(self, encode: Encode, *, size: int, budget: int) -> None:
        self._encode, self._size, self._budget = encode, size, budget
        self._entries: OrderedDict[bytes, ModalityEmbedding] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = self._hits = self._misses = 0

    def __call__(self, modality: ModalityType, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """An entry for every item, in order; equal items are encoded once."""
        if not self._size:
            return self._encode(modality, items)
        keys = [content_key(modality, item) for item in items]
        found = self._look_up(keys)
        fresh: dict[Any, int] = {}  # key, or place where there is no key -> number among what is encoded now
        wanted: list[Any] = []
        for place, (key, item) in enumerate(zip(keys, items, strict=True)):
            if found[place] is None and (name := place if key is None else key) not in fresh:
                fresh[name] = len(wanted)
                wanted.append(item)
        made = self._encode(modality, wanted) if wanted else []
        for key, number in fresh.items():
            if isinstance(key, bytes) and made[number].error is None:
                self._keep(key, made[number])
        return [
            entry if entry is not None else _copy(made[fresh[place if key is None else key]])
            for place, (key, entry) in enumerate(zip(keys, found, strict=True))
        ]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def metrics(self) -> dict[str, int]:
        with self._lock:
            return {"hits": self._hits, "misses": self._misses, "entries": len(self._entries), "bytes": self._bytes}

    def _look_up(self, keys: Sequence[bytes | None]) -> list[ModalityEmbedding | None]:
        with self._lock:
            found = [self._entries.get(key) if key is not None else None for key in keys]
            for key, entry in zip(keys, found, strict=True):
                if key is not None and entry is not None:
                    self._entries.move_to_end(key)
            there = sum(entry is not None for entry in found)
            self._hits += there
            self._misses += len(keys) - there
        return [None if entry is None else _copy(entry) for entry in found]

    def _keep(self, key: bytes, entry: ModalityEmbedding) -> None:
        kept = _copy(entry)
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes += _size(kept) - (0 if old is None else _size(old))
            self._entries[key] = kept
            while self._entries and (len(self._entries) > self._size or self._bytes > self._budget):
                self._bytes -= _size(self._entries.popitem(last=False)[1])


def content_key(modality: ModalityType, item: Any) -> bytes | None:
    """Equal for equal inputs of a modality; None for what is no input."""
    digest = hashlib.sha256(modality.encode())
    if isinstance(item, str):
        digest.update(b"s" + item.encode("utf-8", "surrogatepass"))
        return digest.digest()
    parts = item if isinstance(item, (tuple, list)) else (item,)
    for part in parts:
        if isinstance(part, torch.Tensor):
            held = part.detach().cpu().contiguous()
            digest.update(f"t{held.dtype}{tuple(held.shape)}".encode())
            digest.update(held.reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(part, np.ndarray) and not part.dtype.hasobject:
            digest.update(f"a{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        elif isinstance(part, (int, np.integer)):
            digest.update(f"i{part}".encode())
        else:
            return None
    return digest.digest()


def _copy(entry: ModalityEmbedding) -> ModalityEmbedding:
    metadata = {
        name: value.clone() if isinstance(value, torch.Tensor) else value.copy() if isinstance(value, (list, dict)) else value
        for name, value in entry.metadata.items()
    }
    return replace(entry, embedding=entry.embedding.clone(), features=entry.features.clone(), metadata=metadata)


def _size(entry: ModalityEmbedding) -> int:
    tensors = [entry.embedding, entry.features, *(v for v in entry.metadata.values() if isinstance(v, torch.Tensor))]
    return sum(tensor.nbytes for tensor in tensors) + 2_000  # labels and the objects round them
