"""Encoders without models, through the seam that a processor has for them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from multimodal.embeddings._entry import unreadable
from multimodal.integration.cache import content_key
from multimodal.types import ModalityEmbedding, ModalityType


class FakeEncoder:
    """A unit vector drawn from the content; pictures have 2x2 cells. `seen` is every item it was asked for.

    The text "?" cannot be read, the text "nan" gives NaN, the text "bomb" raises.
    """

    def __init__(self, modality: ModalityType, width: int = 384) -> None:
        self.modality, self.width = modality, width
        self.fingerprint = f"fake-{modality}@1/f32/none/none"
        self.seen: list[Any] = []
        self.calls: list[int] = []
        self.threads: set[int] = set()

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        self.seen += items
        self.calls.append(len(items))
        self.threads.add(threading.get_ident())
        return [self._entry(item) for item in items]

    def _entry(self, item: Any) -> ModalityEmbedding:
        if isinstance(item, str) and item == "bomb":
            raise RuntimeError("bomb")
        if isinstance(item, str) and item == "?":
            return unreadable(self.modality, "no words", self.width, self.width)
        key = content_key(self.modality, item) or b""
        dice = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:8], "big"))
        rows = dice.normal(size=(5, self.width)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        vectors = torch.from_numpy(rows)
        if isinstance(item, str) and item == "nan":
            vectors[0, 0] = torch.nan
        metadata: dict[str, Any] = {"native": vectors[0], "labels": [("thing", 0.5)]}
        if self.modality is ModalityType.IMAGE:
            metadata["grid"] = (2, 2)
        return ModalityEmbedding(self.modality, vectors[0], vectors[1:], metadata, 0.75, 0.5)


def fake_encoders(width: int = 384) -> dict[ModalityType, FakeEncoder]:
    return {modality: FakeEncoder(modality, width) for modality in ModalityType}
