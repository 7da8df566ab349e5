"""The mind as a library: encoders and fusion behind one object."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from types import TracebackType
from typing import Any

import torch

from multimodal.embeddings.audio import AudioModalityEncoder
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.image import SIDE, ImageModalityEncoder
from multimodal.embeddings.minilm import WIDTH
from multimodal.embeddings.runtime import open_runtime
from multimodal.embeddings.text import TextModalityEncoder
from multimodal.errors import ConfigError, InputError, NotReadyError
from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.window import FusionResult, Window, WindowFusion
from multimodal.integration.config import IntegrationConfig
from multimodal.types import (
    AttentionWeights,
    ModalityAlignment,
    ModalityEmbedding,
    ModalityType,
    MultimodalInput,
    MultimodalOutput,
    UnifiedRepresentation,
)

FUSIONS: dict[str, Callable[[IntegrationConfig], WindowFusion]] = {"mean": lambda config: MeanFusion()}
"""By ``fusion_method``; a further strategy is one more line."""

_DIMS = ("text_embedding_dim", "image_embedding_dim", "audio_embedding_dim", "shared_embedding_dim")
_FIXED = (
    "num_attention_heads", "attention_dropout", "fusion_dropout", "mixed_precision", "num_workers",
    "enable_real_time_processing", "use_attention_visualization", "debug",
)  # fmt: skip
_LIBRARIES = ("numpy", "cv2", "soxr", "tokenizers")  # that change an input before a model sees it


class UnifiedMultimodalProcessor:
    """Encodes and fuses. Thread-safe once initialized; nothing it computes depends on what it computed before.

    Args:
        config: the embedded models and the training-free fusion where None.

    Raises:
        ConfigError: the configuration asks for something that this processor does not have; nothing is ignored.
    """

    def __init__(self, config: IntegrationConfig | None = None) -> None:
        self.config = config or IntegrationConfig.embedded()
        _refuse_unmet(self.config)
        self._fusion = FUSIONS[self.config.fusion_method](self.config)
        self._encoders: dict[ModalityType, Any] = {}
        self._lock = threading.Lock()
        self._closed = False

    def initialize(self) -> None:
        """Open the encoders; a second call does nothing.

        Raises:
            ModelMissingError: a model has not been pulled; the message says how.
        """
        with self._lock:
            if self._closed:
                raise NotReadyError("the processor is closed; make another one")
            if self._encoders:
                return
            c = self.config
            text, image, audio = (
                open_runtime(name, c.device, batch=c.batch_size) for name in ("minilm", "efficientnet-lite0", "yamnet")
            )
            self._encoders = {
                ModalityType.TEXT: TextModalityEncoder(runtime=text, max_tokens=c.max_sequence_length),
                ModalityType.IMAGE: ImageModalityEncoder(runtime=image),
                ModalityType.AUDIO: AudioModalityEncoder(runtime=audio, max_duration=c.max_audio_duration),
            }

    @property
    def fingerprint(self) -> str:
        """Identity of the numbers: models, precision, runtime, version, instruction set, then a hash over all of it and
        over the versions of the libraries in front of the models.

        Equal fingerprints promise equal bits on CPU.
        """
        encoders = [self._encoder(modality).fingerprint for modality in ModalityType]
        libraries = [f"{name}-{import_module(name).__version__}" for name in _LIBRARIES]
        digest = hashlib.sha256("\n".join([*encoders, *libraries, self.config.fusion_method]).encode()).hexdigest()
        models = "+".join(encoder.split("/")[0] for encoder in encoders)
        runtime = "/".join(encoders[0].split("/")[1:4])
        return f"{models}+{self.config.fusion_method}/{runtime}/{digest[:8]}"

    def vocabulary(self, modality: str) -> Vocabulary:
        """What the encoder of "image" or "audio" can name."""
        encoder = self._encoder(_modality(modality))
        if not hasattr(encoder, "vocabulary"):
            raise InputError(f"{modality} is not named by classes; 'image' and 'audio' are")
        vocabulary: Vocabulary = encoder.vocabulary
        return vocabulary

    def encode(self, modality: str, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """Any number of one modality, in order: strings, pictures, or (samples, rate).

        An entry never depends on its neighbours; one that cannot be read has `error` set and nothing else is lost.
        """
        entries: list[ModalityEmbedding] = self._encoder(_modality(modality)).encode_batch(items)
        return entries

    def fuse(self, windows: Sequence[Window]) -> list[FusionResult]:
        """Each window for itself: by stream name, the entries of that stream in time order."""
        if self._closed:
            raise NotReadyError("the processor is closed; make another one")
        return [self._fusion(window) for window in windows]

    def process(self, multimodal_input: MultimodalInput, processing_mode: str = "sequential") -> MultimodalOutput:
        """One moment, its streams named by their modality.

        Raises:
            InputError: nothing given, or one of its parts cannot be read.
            ConfigError: a mode that this processor does not have.
        """
        if processing_mode != "sequential":
            raise ConfigError(f"processing_mode is {processing_mode!r}; this processor has 'sequential' only")
        started = time.perf_counter()
        parts = {"text": multimodal_input.text, "image": multimodal_input.image, "audio": multimodal_input.audio}
        parts = {name: part for name, part in parts.items() if part is not None}
        if not parts:
            raise InputError("an input has at least one of text, image and audio")
        entries: dict[str, ModalityEmbedding] = {}
        for name, part in parts.items():
            (entry,) = self.encode(name, [(part, multimodal_input.sample_rate) if name == "audio" else part])
            if entry.error is not None:
                raise InputError(f"{name}: {entry.error}")
            entries[name] = entry
        encoded = time.perf_counter()
        (fused,) = self.fuse([{name: [entry] for name, entry in entries.items()}])
        metadata = {
            "processing_mode": processing_mode, "fusion_method": self.config.fusion_method,
            "fingerprint": self.fingerprint, "encode_seconds": encoded - started,
            "fuse_seconds": time.perf_counter() - encoded,
        }  # fmt: skip
        return _output(entries, fused, metadata)

    def close(self) -> None:
        """Let go of the models. Calls that are under way end well; later ones raise NotReadyError."""
        with self._lock:
            self._encoders = {}
            self._closed = True

    def __enter__(self) -> UnifiedMultimodalProcessor:
        self.initialize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoder(self, modality: ModalityType) -> Any:
        encoder = self._encoders.get(modality)
        if encoder is None:
            raise NotReadyError("the processor is closed" if self._closed else "call initialize() first")
        return encoder


def _modality(name: str) -> ModalityType:
    try:
        return ModalityType(name)
    except ValueError:
        raise InputError(f"modality is {name!r}, expected one of {', '.join(ModalityType)}") from None


def _refuse_unmet(config: IntegrationConfig) -> None:
    """Name all that the configuration asks for in vain: an option is obeyed or refused, never ignored."""
    default = {field.name: field.default for field in fields(config)}
    unmet = []
    if config.fusion_method not in FUSIONS:
        unmet.append(f"fusion_method={config.fusion_method!r} comes with the fusion library; now: {', '.join(FUSIONS)}")
    unmet += [
        f"{name}={value} comes with learned spaces; the embedded models have {WIDTH}"
        for name in _DIMS
        if (value := getattr(config, name)) != WIDTH
    ]
    if config.max_image_size != (SIDE, SIDE):
        unmet.append(f"max_image_size={config.max_image_size}; the embedded model takes {(SIDE, SIDE)}")
    unmet += [
        f"{name}={value!r} would change nothing yet; leave it at {default[name]!r}"
        for name in _FIXED
        if (value := getattr(config, name)) != default[name]
    ]
    if unmet:
        raise ConfigError("; ".join(unmet) + ". IntegrationConfig.embedded() is what runs today")


def _output(
    entries: Mapping[str, ModalityEmbedding], fused: FusionResult, metadata: Mapping[str, Any]
) -> MultimodalOutput:
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
            representation=vector[None],
            modality_contributions=fused.contributions,
            alignment_scores=fused.alignment,
            coherence_metrics=coherence,
            semantic_consistency=sum(cosines) / len(cosines),
        ),
        modality_specific_outputs=entries,
        attention_analysis=AttentionWeights(
            weights=maps,
            source_labels=tuple(asker for asker, _ in fused.attention),
            target_labels=tuple(picture for _, picture in fused.attention),
            entropy={name: _entropy(m) for name, m in maps.items()},
        ),
        alignment_results=ModalityAlignment(scores=fused.alignment, quality=quality),
        confidence_scores={name: entry.confidence for name, entry in entries.items()},
        processing_metadata=metadata,
    )


def _entropy(weights: torch.Tensor) -> float:
    """Over its highest possible value, log of the number of cells."""
    p = weights.flatten().double()
    return float(torch.special.entr(p).sum()) / math.log(p.numel())
