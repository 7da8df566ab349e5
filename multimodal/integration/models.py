"""The encoders that a configuration asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch

from multimodal.embeddings.minilm import MAX_TOKENS, WIDTH
from multimodal.embeddings.opening import Choice, open_encoders
from multimodal.embeddings.runtime import low_precision
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.limits import limited
from multimodal.types import ModalityType

_LIBRARIES = ("numpy", "cv2", "soxr", "tokenizers")  # that change an input before a model sees it


def open_models(config: IntegrationConfig) -> dict[ModalityType, Any]:
    """By modality; see `multimodal.embeddings.opening.open_encoders` for the errors."""
    lower = config.mixed_precision and low_precision(device_of(config)) == "bf16"
    encoders: dict[ModalityType, Any] = dict(
        open_encoders(
            Choice(
                text=config.text_model,
                image=config.image_model,
                audio=config.audio_model,
                device=config.device,
                batch_size=config.batch_size,
                max_tokens=min(config.max_sequence_length, MAX_TOKENS),
                max_duration=config.max_audio_duration,
                local_files_only=config.local_files_only,
                dtype="bfloat16" if lower else "float32",
                mixed_precision=config.mixed_precision,
            )
        )
    )
    encoders[ModalityType.IMAGE] = limited(encoders[ModalityType.IMAGE], config.max_image_size)
    return encoders


def device_of(config: IntegrationConfig) -> str:
    """ "cuda" or "cpu", where the encoders compute."""
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def width_of(text_encoder: Any) -> int:
    """Dimensions of the space, which is the text encoder's."""
    return int(getattr(text_encoder, "width", WIDTH))


def fingerprint_of(encoders: Mapping[ModalityType, Any], fusion: str) -> str:
    """Models, fusion, runtime, and a hash over all of it and over the libraries in front of the models."""
    each = [encoders[modality].fingerprint for modality in ModalityType]
    libraries = [f"{name}-{import_module(name).__version__}" for name in _LIBRARIES]
    digest = hashlib.sha256("\n".join([*each, *libraries, fusion]).encode()).hexdigest()
    models = "+".join(one.split("/")[0] for one in each)
    runtime = "/".join(each[0].split("/")[1:4])
    return f"{models}+{fusion}/{runtime}/{digest[:8]}"
