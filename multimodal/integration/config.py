"""The configuration of a processor, every wrong value refused by its name."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from multimodal.embeddings.minilm import WIDTH
from multimodal.embeddings.runtime import Device
from multimodal.errors import ConfigError

FusionMethod = Literal["adaptive", "early", "late", "hierarchical", "bilinear", "mean"]

_COUNTS = {
    "text_embedding_dim": (1, 65_536),
    "image_embedding_dim": (1, 65_536),
    "audio_embedding_dim": (1, 65_536),
    "shared_embedding_dim": (1, 65_536),
    "batch_size": (1, 4_096),
    "max_sequence_length": (3, 65_536),
    "num_attention_heads": (1, 1_024),
    "num_workers": (0, 1_024),
}
_SHARES = ("attention_dropout", "fusion_dropout")
_SWITCHES = ("mixed_precision", "enable_real_time_processing", "use_attention_visualization", "debug")
_CHOICES: dict[str, tuple[str, ...]] = {"fusion_method": get_args(FusionMethod), "device": get_args(Device)}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationConfig:
    """What a processor is made of. A value that is wrong in itself is refused here, all of them at once.

    A value that is right but asks for a part that a processor does not have is refused by the processor.

    Attributes:
        text_embedding_dim, image_embedding_dim, audio_embedding_dim, shared_embedding_dim: the shared space of the
            embedded models has 384.
        batch_size: rows that an encoder computes in one call.
        max_sequence_length: tokens of a text that are read, at most the model's 256.
        max_image_size: (height, width) of the encoder's picture.
        max_audio_duration: seconds of a sound that are heard.

    Raises:
        ConfigError: names every wrong value, and what is allowed.
    """

    text_embedding_dim: int = 512
    image_embedding_dim: int = 512
    audio_embedding_dim: int = 512
    shared_embedding_dim: int = 512
    batch_size: int = 32
    max_sequence_length: int = 512
    max_image_size: tuple[int, int] = (224, 224)
    max_audio_duration: float = 30.0
    num_attention_heads: int = 8
    attention_dropout: float = 0.1
    fusion_method: FusionMethod = "adaptive"
    fusion_dropout: float = 0.1
    device: Device = "auto"
    mixed_precision: bool = False
    num_workers: int = 4
    enable_real_time_processing: bool = False
    use_attention_visualization: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        wrong = [problem for field in fields(self) if (problem := _problem(field.name, getattr(self, field.name)))]
        if wrong:
            raise ConfigError("; ".join(wrong))

    @classmethod
    def embedded(cls, **changes: Any) -> IntegrationConfig:
        """What the embedded models and the training-free fusion are: 384 dimensions, ``fusion_method="mean"``."""
        dims = dict.fromkeys(
            ("text_embedding_dim", "image_embedding_dim", "audio_embedding_dim", "shared_embedding_dim"), WIDTH
        )
        return cls(**{**dims, "fusion_method": "mean", **changes})


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with one value, or None."""
    expected = None
    if name in _COUNTS:
        low, high = _COUNTS[name]
        if not _whole(value) or not low <= value <= high:
            expected = f"a whole number from {low} to {high}"
    elif name in _SHARES:
        if not _number(value) or not 0 <= value < 1:
            expected = "a number from 0 up to, not including, 1"
    elif name in _SWITCHES:
        if not isinstance(value, bool):
            expected = "True or False"
    elif name in _CHOICES:
        if not isinstance(value, str) or value not in _CHOICES[name]:
            expected = "one of " + ", ".join(repr(choice) for choice in _CHOICES[name])
    elif name == "max_image_size":
        if not (isinstance(value, tuple) and len(value) == 2 and all(_whole(side) and side > 0 for side in value)):
            expected = "(height, width), two whole numbers above 0"
    elif not _number(value) or not value > 0:  # max_audio_duration
        expected = "seconds, a number above 0"
    return None if expected is None else f"{name} is {value!r}, expected {expected}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
