"""The configuration of a processor, every wrong value refused by its name."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from multimodal.embeddings.minilm import WIDTH
from multimodal.embeddings.opening import EMBEDDED
from multimodal.embeddings.runtime import Device
from multimodal.errors import ConfigError

FusionMethod = Literal["adaptive", "early", "late", "hierarchical", "bilinear", "mean"]
QueueOverflow = Literal["block", "drop_oldest"]

_COUNTS = {
    "text_embedding_dim": (1, 65_536),
    "image_embedding_dim": (1, 65_536),
    "audio_embedding_dim": (1, 65_536),
    "shared_embedding_dim": (1, 65_536),
    "batch_size": (1, 4_096),
    "max_sequence_length": (3, 65_536),
    "num_attention_heads": (1, 1_024),
    "num_workers": (0, 1_024),
    "cache_size": (0, 10_000_000),
    "index_size": (0, 10_000_000),
    "memory_budget": (0, 2**50),
    "queue_size": (1, 1_000_000),
}
_SHARES = ("attention_dropout", "fusion_dropout")
_SWITCHES = (
    "mixed_precision", "enable_real_time_processing", "use_attention_visualization", "debug", "gradient_checkpointing",
    "local_files_only",
)  # fmt: skip
_CHOICES: dict[str, tuple[str, ...]] = {
    "fusion_method": get_args(FusionMethod),
    "device": get_args(Device),
    "queue_overflow": get_args(QueueOverflow),
}
_NEEDED = ("text_model", "image_model", "audio_model")
_NAMES = {
    **dict.fromkeys(_NEEDED, f"{EMBEDDED!r}, a folder, or a name on the hub"),
    "fusion_weights": "a folder or file, or None",
}


@dataclass(frozen=True, slots=True)
class IntegrationConfig:
    """What a processor is made of. A value that is wrong is refused here, all of them at once.

    Attributes:
        text_embedding_dim, image_embedding_dim, audio_embedding_dim, shared_embedding_dim: dimensions in which the
            embeddings of a modality, and the fused vector, are shown. The space has those of the text model (384 of the
            embedded one). More dimensions keep every cosine; fewer are a projection, and `processing_metadata` says so.
        batch_size: rows that an encoder computes in one call; inputs of a list that mode "batch" encodes together.
        max_sequence_length: tokens of a text that are read, marks included. The embedded model reads 256 at most: of a
            longer text the rest is not read, and its metadata has ``truncated`` True.
        max_image_size: (height, width) at which a picture is read at most; a larger one is averaged down first. The
            embedded encoder reads 224x224 itself, so a larger limit changes nothing.
        max_audio_duration: seconds of a sound that are heard; what comes after is not.
        num_attention_heads: of the fusions that attend ("hierarchical", "adaptive"); divides the dimensions of the space.
        attention_dropout: of the attention in those two, while they are trained.
        fusion_method: "mean" is training-free; the others are it to the bit, and computed as it, until weights are loaded.
        fusion_dropout: of the MLPs of the learned fusions, while they are trained.
        device: "auto" takes CUDA where torch sees it.
        mixed_precision: encoders multiply in bfloat16 (float16 on a GPU without it) where the device can; where it cannot,
            nothing changes and `health()` says so. The fingerprint follows.
        num_workers: threads of mode "parallel"; 0 does everything in the calling thread.
        enable_real_time_processing: takes `add_real_time_input`.
        use_attention_visualization: keeps the attention of the last moment for `visualize_attention()`.
        debug: checks that every number is finite, and logs each step to the logger ``multimodal.integration``.
        cache_size: encodings kept for inputs that come again, newest used last; 0 keeps none.
        gradient_checkpointing: less memory for activations in training, see `training`.
        index_size: moments that `retrieve_cross_modal` finds, the newest; 0 remembers none.
        memory_budget: bytes that cache and remembered moments may hold together; what was used least recently goes.
        queue_size: real-time inputs that wait at most, and results that wait to be taken.
        queue_overflow: a full queue lets the caller wait ("block"), or loses its oldest, counted ("drop_oldest").
        text_model, image_model, audio_model: "embedded", a folder, or a name on the hub (see `multimodal.embeddings.hub`).
        local_files_only: such a name may not be fetched.
        fusion_weights: trained weights (a file, or a folder with ``fusion.safetensors``) of `fusion_method`.

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
    cache_size: int = 128
    gradient_checkpointing: bool = False
    index_size: int = 1_000
    memory_budget: int = 256_000_000
    queue_size: int = 64
    queue_overflow: QueueOverflow = "block"
    text_model: str = EMBEDDED
    image_model: str = EMBEDDED
    audio_model: str = EMBEDDED
    local_files_only: bool = False
    fusion_weights: str | None = None

    def __post_init__(self) -> None:
        wrong = [problem for field in fields(self) if (problem := _problem(field.name, getattr(self, field.name)))]
        if not wrong and self.fusion_method == "mean" and self.fusion_weights is not None:
            wrong.append("fusion_weights is given, but fusion_method is 'mean', which has no weights to load")
        if wrong:
            raise ConfigError("; ".join(wrong))

    @classmethod
    def embedded(cls, **changes: Any) -> IntegrationConfig:
        """The embedded models and the training-free fusion as they are, and as the daemon has them: 384 dimensions,
        ``fusion_method="mean"``, ``mixed_precision=True``."""
        dims = dict.fromkeys(
            ("text_embedding_dim", "image_embedding_dim", "audio_embedding_dim", "shared_embedding_dim"), WIDTH
        )
        return cls(**{**dims, "fusion_method": "mean", "mixed_precision": True, **changes})

    def training(self, **changes: Any) -> Any:
        """`multimodal.training.Settings` with this `gradient_checkpointing`."""
        from multimodal.training import Settings

        return Settings(**{"gradient_checkpointing": self.gradient_checkpointing, **changes})


def _problem(name: str, value: Any) -> str | None:  # noqa: PLR0912 - a rule for each kind of value
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
    elif name in _NAMES:
        if not (isinstance(value, str) and value.strip()) and (value is not None or name in _NEEDED):
            expected = _NAMES[name]
    elif name == "max_image_size":
        if not (isinstance(value, tuple) and len(value) == 2 and all(_whole(side) and side > 0 for side in value)):
            expected = "(height, width), two whole numbers above 0"
    elif not _number(value) or not 0 < value <= 1e9:  # max_audio_duration
        expected = "seconds, a number above 0, 1e9 at most"
    return None if expected is None else f"{name} is {value!r}, expected {expected}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
