"""What the encoders and the fusion gave of one moment, as it is handed out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from multimodal.embeddings.measures import CoherenceBaseline
from multimodal.errors import MultimodalError
from multimodal.fusion.window import FusionResult
from multimodal.integration.shown import Shown
from multimodal.types import (
    AttentionWeights,
    ModalityAlignment,
    ModalityEmbedding,
    MultimodalOutput,
    UnifiedRepresentation,
)


def made(
    entries: Mapping[str, ModalityEmbedding],
    fused: FusionResult,
    shown: Shown,
    metadata: Mapping[str, Any],
    baseline: CoherenceBaseline | None = None,
) -> MultimodalOutput:
    """Cosines are of the vectors in their own space, whatever they are shown in."""
    maps = {f"{asker}->{picture}": torch.from_numpy(m) for (asker, picture), m in fused.attention.items()}
    vector = torch.from_numpy(fused.vector)
    cosines = [float(entry.embedding @ vector) for entry in entries.values()]
    coherence = {"coherence": fused.coherence}
    if fused.alignment:
        coherence["lowest"] = min(fused.alignment.values())
    quality = {}
    for pair in fused.alignment:
        a, b = pair.split("|")
        quality[pair] = min(entries[a].quality_score, entries[b].quality_score)
    return MultimodalOutput(
        unified_representation=UnifiedRepresentation(
            representation=torch.from_numpy(shown.vector("shared", fused.vector))[None],  # (S,) -> (1, S)
            modality_contributions=fused.contributions,
            alignment_scores=fused.alignment,
            coherence_metrics=coherence,
            semantic_consistency=sum(cosines) / len(cosines),
        ),
        modality_specific_outputs={name: shown.entry(entry) for name, entry in entries.items()},
        attention_analysis=AttentionWeights(
            weights=maps,
            source_labels=tuple(asker for asker, _ in fused.attention),
            target_labels=tuple(picture for _, picture in fused.attention),
            entropy={name: _entropy(m) for name, m in maps.items()},
        ),
        alignment_results=ModalityAlignment(
            scores=fused.alignment,
            z_scores=baseline.z_scores(fused.alignment, {}) if baseline is not None else {},
            quality=quality,
        ),
        confidence_scores={name: entry.confidence for name, entry in entries.items()},
        processing_metadata=metadata,
    )


def check_finite(entries: Mapping[str, ModalityEmbedding], fused: FusionResult) -> None:
    """
    Raises:
        MultimodalError: names what holds a number that is not finite.
    """
    held = {f"the {what} of {name}": tensor for name, entry in entries.items()
            for what, tensor in (("embedding", entry.embedding), ("features", entry.features))}  # fmt: skip
    held["the fused vector"] = torch.from_numpy(fused.vector)
    held |= {f"the attention {a}->{b}": torch.from_numpy(m) for (a, b), m in fused.attention.items()}
    if wrong := [what for what, tensor in held.items() if not bool(torch.isfinite(tensor).all())]:
        raise MultimodalError(f"not finite: {', '.join(wrong)}")


def _entropy(weights: torch.Tensor) -> float:
    """Over its highest possible value, log of the number of cells."""
    p = weights.flatten().double()
    return float(torch.special.entr(p).sum()) / math.log(p.numel())
