"""What the encoders give and what the processor takes and gives. Shapes: D shared space (384), T tokens, F features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


class ModalityType(StrEnum):
    """Equal to its string: ``ModalityType.TEXT == "text"``."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"


@dataclass(slots=True, eq=False)
class ModalityEmbedding:
    """What an encoder made of one input.

    Attributes:
        modality: of the input.
        embedding: unit vector in the shared space, float32 (D,); zeros where `error` is set.
        features: float32 (T, F). Text: a row per token (T, 384); picture: a row per cell in the shared space, row by row
            (49, 384); sound: a row per patch (T, 1024).
        metadata: ``native`` the unit vector in the encoder's own space (text 384, picture 1280, sound 1024), ``labels`` the
            ten most probable [(name, probability)], ``grid`` (rows, columns) of a picture's cells, ``quality`` the
            parts of the quality score by name, ``error`` why the input could not be read, ``truncated`` of a text that was
            longer than what is read of it, ``shared`` the vector in the space where `embedding` shows it in other
            dimensions.
        quality_score: of the signal itself, in [0, 1].
        confidence: of the model in what it says, in [0, 1].
    """

    modality: ModalityType
    embedding: Tensor
    features: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)
    quality_score: float = 1.0
    confidence: float = 1.0

    @property
    def error(self) -> str | None:
        """Why the input could not be read; then the embedding is zero, quality and confidence are 0."""
        return self.metadata.get("error")


@dataclass(slots=True, eq=False)
class MultimodalInput:
    """One moment: at least one of the three.

    Attributes:
        text: the words.
        image: uint8 or float in [0, 1]; (H, W, 3), (3, H, W) or (1, 3, H, W).
        audio: float or int16, (samples,) or (samples, channels).
        sample_rate: of the sound, in Hz.
    """

    text: str | None = None
    image: Array | Tensor | None = None
    audio: Array | Tensor | None = None
    sample_rate: int = 16000


@dataclass(slots=True, eq=False)
class AttentionWeights:
    """Attention that was used, by name ``question->picture``.

    Attributes:
        weights: each (rows, columns) over a picture's cells, sums to 1.
        source_labels: the streams that asked, in the order of `weights`.
        target_labels: the pictures they asked about, in the order of `weights`.
        entropy: of each map in nats, over its highest possible value: 0 one cell, 1 evenly spread.
    """

    weights: Mapping[str, Tensor]
    source_labels: tuple[str, ...] = ()
    target_labels: tuple[str, ...] = ()
    entropy: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class ModalityAlignment:
    """How well the streams agree.

    Attributes:
        scores: cosine of each pair, keyed ``a|b`` with a < b.
        z_scores: the same against what unrelated pairs reach, in their deviations; empty where the processor was given no
            `multimodal.embeddings.CoherenceBaseline` of material like yours (none is shipped).
        quality: the lower of the two qualities of each pair: how far its score can be trusted.
    """

    scores: Mapping[str, float]
    z_scores: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class UnifiedRepresentation:
    """One vector for the whole moment.

    Attributes:
        representation: (B, shared_embedding_dim); B is 1 of `UnifiedMultimodalProcessor.process`.
        modality_contributions: share of each modality, sums to 1; empty where nothing could be read.
        alignment_scores: cosine by pair ``a|b``.
        coherence_metrics: ``coherence`` the mean of the pairs, ``lowest`` the worst of them.
        semantic_consistency: mean cosine of the modalities with the fused vector, in [-1, 1].
    """

    representation: Tensor
    modality_contributions: Mapping[str, float]
    alignment_scores: Mapping[str, float]
    coherence_metrics: Mapping[str, float]
    semantic_consistency: float


@dataclass(slots=True, eq=False)
class MultimodalOutput:
    """All that `UnifiedMultimodalProcessor.process` found out about one moment."""

    unified_representation: UnifiedRepresentation
    modality_specific_outputs: Mapping[str, ModalityEmbedding]
    attention_analysis: AttentionWeights
    alignment_results: ModalityAlignment
    confidence_scores: Mapping[str, float]
    processing_metadata: Mapping[str, Any]


Vector = NDArray[np.float32]
