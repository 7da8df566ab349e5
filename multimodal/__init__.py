"""The mind: text, pictures and sound in one space, fused by attention and searched. It knows nothing of streams.

Importing it costs little beyond torch and loads no model.
"""

from multimodal.integration.config import IntegrationConfig
from multimodal.integration.processor import UnifiedMultimodalProcessor
from multimodal.types import (
    AttentionWeights,
    ModalityAlignment,
    ModalityEmbedding,
    ModalityType,
    MultimodalInput,
    MultimodalOutput,
    UnifiedRepresentation,
)

__all__ = [
    "AttentionWeights",
    "IntegrationConfig",
    "ModalityAlignment",
    "ModalityEmbedding",
    "ModalityType",
    "MultimodalInput",
    "MultimodalOutput",
    "UnifiedMultimodalProcessor",
    "UnifiedRepresentation",
]
