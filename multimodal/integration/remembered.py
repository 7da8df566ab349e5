"""What was processed, to be found again across modalities; bounded in number and in bytes."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings.image import read_pixels
from multimodal.errors import InputError
from multimodal.integration.limits import shrunk
from multimodal.integration.modes import Parts
from multimodal.types import ModalityEmbedding, ModalityType

if TYPE_CHECKING:
    from multimodal.retrieval.retriever import RetrievalResult
    from multimodal.retrieval.semantic import SemanticSimilarityRetriever


class Remembered:
    """The newest moments by what they hold. Thread-safe.

    Kept are copies: words, pictures at no more than `picture_size` with their shape kept, and the seconds of a sound that
    were heard as (samples, rate).

    Args:
        width: D of the space.
        size: moments at most; 0 remembers none.
        budget: bytes of contents and vectors at most.
        embedded: the vectors are the embedded text encoder's, so words found by words have calibrated confidences.
    """

    def __init__(
        self, width: int, *, size: int, budget: int, picture_size: tuple[int, int], seconds: float, embedded: bool
    ) -> None:
        self._width, self._size, self._budget = width, size, budget
        self._picture_size, self._seconds, self._embedded = picture_size, seconds, embedded
        self._retriever: SemanticSimilarityRetriever | None = None
        self._moments: deque[tuple[list[int], int]] = deque()  # keys, bytes
        self._bytes = self._number = 0
        self._lock = threading.Lock()

    def add(self, parts: Parts, entries: Mapping[str, ModalityEmbedding]) -> None:
        """One moment; the oldest are forgotten where there are too many."""
        if not self._size:
            return
        there = [modality for modality in parts if 0 < float(entries[modality].embedding.norm()) < math.inf]
        contents = {modality: self._content(modality, parts[modality]) for modality in there}
        keys, held = [], 0
        with self._lock:
            retriever = self._opened()
            for modality, content in contents.items():
                entry = entries[modality]
                labels = list(entry.metadata.get("labels", ()))
                told = {"moment": self._number, "quality": entry.quality_score, "labels": labels}
                keys.append(retriever.index(content, entry, told))
                held += _bytes(content) + 2 * self._width
            self._moments.append((keys, held))
            self._number += 1
            self._bytes += held
            while self._moments and (len(self._moments) > self._size or self._bytes > self._budget):
                old, size = self._moments.popleft()
                self._bytes -= size
                for key in old:
                    retriever.delete(key)

    def find(self, query: ModalityEmbedding, target: ModalityType, top_k: int) -> list[RetrievalResult]:
        """The `top_k` of a modality nearest to a query of this space, best first."""
        if not self._size:
            raise InputError("index_size is 0, so nothing is remembered; raise it to find what was processed")
        with self._lock:
            retriever = self._opened()
        return retriever.retrieve(query, target, top_k)

    def metrics(self) -> dict[str, int]:
        with self._lock:
            return {"moments": len(self._moments), "bytes": self._bytes}

    def _opened(self) -> SemanticSimilarityRetriever:
        if self._retriever is None:
            from multimodal.retrieval.semantic import SemanticSimilarityRetriever

            calibration: Any = "embedded" if self._embedded else None
            self._retriever = SemanticSimilarityRetriever(self._width, calibration=calibration)
        return self._retriever

    def _content(self, modality: ModalityType, item: Any) -> Any:
        if modality is ModalityType.IMAGE:
            return kept_picture(item, self._picture_size)
        if modality is ModalityType.AUDIO:
            samples, rate = item
            heard = samples[: max(1, round(self._seconds * rate))]
            return (heard.detach().clone() if isinstance(heard, torch.Tensor) else np.array(heard)), int(rate)
        return item


def kept_picture(image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A copy, uint8 (H, W, 3), at most `size` (height, width), its shape kept."""
    return shrunk(read_pixels(image), size, keep_shape=True).copy()


def _bytes(content: Any) -> int:
    if isinstance(content, str):
        return 4 * len(content)
    held = content[0] if isinstance(content, tuple) else content
    return int(held.nbytes)
