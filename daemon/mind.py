"""The one adapter between the stream and the library: packets in, encodings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from daemon import picture
from daemon.config import Config, Mind
from multimodal.embeddings.conse import Vocabulary
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.processor import UnifiedMultimodalProcessor
from multimodal.types import ModalityEmbedding, ModalityType
from pipelines.errors import QuestionError
from pipelines.packet import Modality, Packet
from pipelines.protocols import Encoded, Fused

_UNLIMITED = (1 << 16, 1 << 16)
"""Pictures were decoded at twice what an encoder looks at; each reads its own size of that."""

NAMES_NEAR = 64
"""Class names of each vocabulary that a question in words carries, nearest first."""


class ProcessorMind:
    """`UnifiedMultimodalProcessor` as the stages know a mind. Thread-safe."""

    def __init__(self, processor: UnifiedMultimodalProcessor) -> None:
        self.fingerprint = processor.fingerprint
        self._processor = processor

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """What pictures and sounds are named by, in the space that questions are asked in."""
        return {modality: self._processor.vocabulary(modality) for modality in ("image", "audio")}

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        """Packets of one modality; a picture's bytes are decoded here, its size checked first."""
        modality = packets[0].modality
        items: list[Any] = []
        unread: dict[int, str] = {}
        for number, packet in enumerate(packets):
            try:
                items.append(_item(packet))
            except ValueError as error:
                unread[number] = str(error)
        entries = iter(self._processor.encode(modality, items) if items else ())
        return [
            _unreadable(modality, unread[number]) if number in unread else _encoded(modality, next(entries), packet)
            for number, packet in enumerate(packets)
        ]

    def fuse(self, windows: Sequence[Mapping[str, Sequence[Encoded]]]) -> list[Fused]:
        """Each window for itself."""
        entries = [{stream: [entry_of(encoded) for encoded in row] for stream, row in w.items()} for w in windows]
        return [
            Fused(result.vector, result.contributions, result.alignment, result.coherence, result.attention)
            for result in self._processor.fuse(entries)
        ]

    def question(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
    ) -> Encoded:
        """Words carry the names nearest to them. Raises QuestionError for a question that cannot be read."""
        modality: Modality = "text" if text is not None else "image" if image is not None else "audio"
        try:
            item = text if text is not None else picture.decode_any(image) if image is not None else audio
        except picture.PictureError as error:
            raise QuestionError(f"the picture of the question cannot be read: {error}") from error
        [entry] = self._processor.encode(modality, [item])
        if entry.error is not None:
            raise QuestionError(f"the question cannot be read: {entry.error}")
        encoded = _encoded(modality, entry, None)
        if text is None:
            return encoded
        near = [
            pair
            for named in ("image", "audio")
            for pair in self._processor.vocabulary(named).nearest(encoded.vector, NAMES_NEAR)
        ]
        return replace(encoded, labels=tuple(near), text=text)


@contextmanager
def open_mind(config: Config) -> Iterator[ProcessorMind]:
    """The configured mind, its models open. Raises ModelMissingError, which says how to get them."""
    with UnifiedMultimodalProcessor(settings(config.mind)) as processor:
        yield ProcessorMind(processor)


def settings(mind: Mind) -> IntegrationConfig:
    """What the mind's section of the configuration asks of the library. Nothing is kept in it: the store remembers."""
    return IntegrationConfig.embedded(
        fusion_method=mind.fusion_method,
        fusion_weights=None if mind.weights is None else str(mind.weights),
        batch_size=mind.batch_size,
        device=mind.device,
        mixed_precision=mind.mixed_precision,
        text_model=mind.text,
        image_model=mind.image,
        audio_model=mind.audio,
        local_files_only=mind.local_files_only,
        max_image_size=_UNLIMITED,
        cache_size=0,
        index_size=0,
    )


def missing(mind: Mind) -> str | None:
    """Why these weights cannot be used, or None; reads them, opens no model."""
    if mind.weights is None:
        return None
    from multimodal.errors import ConfigError, ModelMissingError
    from multimodal.fusion.saved import load_fusion
    from multimodal.integration.strategies import weights_file

    try:
        settings(mind)
        load_fusion(weights_file(mind.weights), strategy=mind.fusion_method)
    except (ConfigError, ModelMissingError) as error:
        return str(error)
    return None


def missing_models(mind: Mind) -> dict[str, str]:
    """By modality, why a checkpoint cannot be opened here; opens none, and asks no hub for what may still be fetched."""
    from multimodal.embeddings.hub.checkpoint import find, library
    from multimodal.embeddings.opening import EMBEDDED
    from multimodal.errors import ModelFetchError, ModelMissingError

    found = {}
    for modality in ModalityType:
        name = str(getattr(mind, modality))
        here = name.startswith((".", "/", "~")) or Path(name).is_dir()
        if name != EMBEDDED and (here or mind.local_files_only):
            try:
                library()
                find(name, local_files_only=True)
            except (ModelMissingError, ModelFetchError) as error:
                found[str(modality)] = str(error)
    return found


def _item(packet: Packet) -> Any:
    if isinstance(packet.payload, bytes):
        return picture.decode(packet.payload)
    return (packet.payload, packet.rate) if packet.modality == "audio" else packet.payload


def _encoded(modality: Modality, entry: ModalityEmbedding, packet: Packet | None) -> Encoded:
    metadata = entry.metadata
    if entry.error is not None:
        return _unreadable(modality, entry.error)
    cells = (
        entry.features.numpy().reshape(*metadata["grid"], -1) if "grid" in metadata else None
    )  # (49, D) -> (7, 7, D)
    return Encoded(
        modality=modality,
        vector=entry.embedding.numpy(),
        native=metadata["native"].numpy(),
        cells=cells,
        labels=tuple(metadata.get("labels", ())),
        text=packet.payload if packet is not None and isinstance(packet.payload, str) else None,
        quality=float(entry.quality_score),
        confidence=float(entry.confidence),
    )


def _unreadable(modality: Modality, error: str) -> Encoded:
    nothing = np.zeros(0, np.float32)
    return Encoded(modality, nothing, nothing, quality=0.0, confidence=0.0, error=error)


def entry_of(encoded: Encoded) -> ModalityEmbedding:
    """What the stages hold of an encoding, as the library takes it; training reads windows through it too."""
    metadata: dict[str, Any] = {"native": torch.from_numpy(encoded.native)}
    features = encoded.vector[None]
    if encoded.error is not None:
        metadata["error"] = encoded.error
    if encoded.cells is not None:
        metadata["grid"] = encoded.cells.shape[:2]
        features = encoded.cells.reshape(-1, encoded.cells.shape[2])  # (7, 7, D) -> (49, D)
    return ModalityEmbedding(
        modality=ModalityType(encoded.modality),
        embedding=torch.from_numpy(encoded.vector),
        features=torch.from_numpy(features),
        metadata=metadata,
        quality_score=encoded.quality,
        confidence=encoded.confidence,
    )
