"""The entry that stands for an input which could not be read."""

from __future__ import annotations

import torch

from multimodal.embeddings.minilm import WIDTH
from multimodal.types import ModalityEmbedding, ModalityType


def unreadable(modality: ModalityType, reason: str, native: int, width: int = WIDTH) -> ModalityEmbedding:
    """Zero vectors, quality and confidence 0, ``metadata["error"]`` the reason; no features."""
    return ModalityEmbedding(
        modality,
        torch.zeros(width),
        torch.zeros(0, width if modality is not ModalityType.AUDIO else native),
        {"native": torch.zeros(native), "labels": [], "error": reason},
        0.0,
        0.0,
    )
