"""The mind: text, pictures and sound in one space, fused by attention and searched. It knows nothing of streams.

Importing it costs little beyond torch and loads no model. The submodules are imported when they are first used.
"""

from importlib import import_module
from types import ModuleType

from multimodal.integration import (
    AudioVisualIntegration,
    IntegrationConfig,
    UnifiedMultimodalProcessor,
    VisionLanguageIntegration,
)
from multimodal.types import (
    AttentionWeights,
    ModalityAlignment,
    ModalityEmbedding,
    ModalityType,
    MultimodalInput,
    MultimodalOutput,
    UnifiedRepresentation,
)

_SUBMODULES = ("attention", "embeddings", "fusion", "integration", "retrieval", "training", "visualization")

__all__ = [
    "AttentionWeights",
    "AudioVisualIntegration",
    "IntegrationConfig",
    "ModalityAlignment",
    "ModalityEmbedding",
    "ModalityType",
    "MultimodalInput",
    "MultimodalOutput",
    "UnifiedMultimodalProcessor",
    "UnifiedRepresentation",
    "VisionLanguageIntegration",
]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"multimodal.{name}")
    raise AttributeError(f"module 'multimodal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
