"""The three encoders of a processor, whichever they are, in one space: that of the text encoder.

The embedded ones share MiniLM's. A checkpoint of others has towers of its own, so what it sees or hears is placed by the
class names that both its words' side and the text encoder read (`Anchors`); those names are its labels too. With another text
encoder the embedded ones are placed anew by the same names.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from multimodal.embeddings import models
from multimodal.embeddings.anchors import Anchors
from multimodal.embeddings.audio import AudioModalityEncoder
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.image import ImageModalityEncoder
from multimodal.embeddings.runtime import Device, open_runtime
from multimodal.embeddings.text import TextModalityEncoder
from multimodal.types import ModalityEmbedding, ModalityType

Floats = NDArray[np.float32]

_log = logging.getLogger("multimodal.embeddings")

EMBEDDED = "embedded"
_MODELS = {ModalityType.TEXT: "minilm", ModalityType.IMAGE: "efficientnet-lite0", ModalityType.AUDIO: "yamnet"}
_CLASSES = {ModalityType.IMAGE: "a photo of {}", ModalityType.AUDIO: "the sound of {}"}
_TEMPERATURE = 0.02
"""For an embedded encoder that is placed anew; its own vectors are means of several names."""


class Encoder(Protocol):
    """Thread-safe; an entry never depends on its neighbours."""

    @property
    def fingerprint(self) -> str: ...
    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which encoders, and how they compute.

    Attributes:
        text, image, audio: "embedded", a folder, or a name on the hub.
        dtype: of checkpoints of others.
        mixed_precision: of the embedded ones, see `open_runtime`.
    """

    text: str = EMBEDDED
    image: str = EMBEDDED
    audio: str = EMBEDDED
    device: Device = "auto"
    batch_size: int = 32
    max_tokens: int = 256
    max_duration: float | None = None
    local_files_only: bool = False
    revision: str | None = None
    dtype: str = "float32"
    mixed_precision: bool = True


def open_encoders(choice: Choice) -> dict[ModalityType, Encoder]:
    """All three, by modality, their vectors in the text encoder's space.

    Raises:
        ModelMissingError, ModelFetchError, ConfigError: as the one that cannot be opened says.
    """
    text = _open(ModalityType.TEXT, choice.text, choice)
    encoders: dict[ModalityType, Encoder] = {ModalityType.TEXT: text}
    for modality, name in ((ModalityType.IMAGE, choice.image), (ModalityType.AUDIO, choice.audio)):
        encoder = _open(modality, name, choice)
        if (name, choice.text) != (EMBEDDED, EMBEDDED):
            encoder = _joined(modality, encoder, text, alike=name == choice.text)
        encoders[modality] = encoder
    return encoders


def _open(modality: ModalityType, name: str, choice: Choice) -> Any:
    if name != EMBEDDED:
        from multimodal.embeddings.hub import open_encoder

        return open_encoder(
            modality, name, device=choice.device, local_files_only=choice.local_files_only, revision=choice.revision,
            dtype=choice.dtype, max_tokens=choice.max_tokens, max_duration=choice.max_duration,
        )  # fmt: skip
    runtime = open_runtime(
        _MODELS[modality], choice.device, batch=choice.batch_size, mixed_precision=choice.mixed_precision
    )
    match modality:
        case ModalityType.TEXT:
            return TextModalityEncoder(runtime=runtime, max_tokens=choice.max_tokens)
        case ModalityType.IMAGE:
            return ImageModalityEncoder(runtime=runtime)
        case _:
            return AudioModalityEncoder(runtime=runtime, max_duration=choice.max_duration)


class JoinedEncoder:
    """An encoder whose entries come in another space, labelled by the names that join the two. Thread-safe.

    Attributes:
        vocabulary: the names, in the space that the entries come in.
        width: D of that space.
        side: pixels of the square that an encoder of pictures reads; None where it is the embedded one's.
    """

    def __init__(self, encoder: Any, vocabulary: Vocabulary, own: Floats, *, temperature: float, alike: bool) -> None:
        """own: the names of `vocabulary` in the encoder's space (C, Da); alike: it is the space wanted, only labels lack."""
        self._encoder = encoder
        self._anchors = Anchors(own, vocabulary.embeddings, temperature=temperature)
        self._alike = alike
        self.vocabulary = vocabulary
        self.width = vocabulary.embeddings.shape[1]
        self.side: int | None = getattr(encoder, "side", None)
        self.fingerprint = f"{encoder.fingerprint}/joined-{self._anchors.fingerprint}"

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """As the encoder, its vectors and a picture's cells placed anew."""
        return [self._placed(entry) for entry in self._encoder.encode_batch(items)]

    def _placed(self, entry: ModalityEmbedding) -> ModalityEmbedding:
        metadata = dict(entry.metadata)
        if entry.error is not None:
            nothing = torch.zeros(self.width)
            return ModalityEmbedding(entry.modality, nothing, torch.zeros(0, self.width), metadata, 0.0, 0.0)
        confidence = entry.confidence
        if not metadata["labels"]:
            [metadata["labels"]] = self.vocabulary.top(self._anchors.weights(entry.embedding.numpy())[None])
            confidence = metadata["labels"][0][1]
        embedding, features = entry.embedding, entry.features
        if not self._alike:
            embedding = self._place(embedding)
            if "grid" in metadata:
                features = torch.stack([self._place(cell) for cell in features])
        return ModalityEmbedding(entry.modality, embedding, features, metadata, entry.quality_score, confidence)

    def _place(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._anchors(vector.numpy()))


def _joined(modality: ModalityType, encoder: Any, text: Any, *, alike: bool) -> JoinedEncoder:
    known = Vocabulary.load(models.folder_of(_MODELS[modality]))
    names = list(known.names)

    def placed(texts: Sequence[str]) -> Floats:
        return _cached(text.fingerprint, texts, text.places if hasattr(text, "places") else _embedded)

    def _embedded(texts: Sequence[str]) -> Floats:
        return np.stack([entry.embedding.numpy() for entry in text.encode_batch(texts)])

    own = known.embeddings
    temperature = _TEMPERATURE
    if hasattr(encoder, "words"):
        spoken = [_CLASSES[modality].format(name) for name in names]
        own = _cached(encoder.fingerprint, spoken, lambda texts: encoder.words.many(texts).cpu().numpy())
        temperature = encoder.temperature
    vocabulary = Vocabulary(names, placed(names), known.terms, placed([term.name for term in known.terms]))
    return JoinedEncoder(encoder, vocabulary, own, temperature=temperature, alike=alike)


def _cached(fingerprint: str, texts: Sequence[str], encode: Callable[[Sequence[str]], Floats]) -> Floats:
    """(len(texts), D) unit vectors, computed once for a model and kept beside the models."""
    digest = hashlib.sha256("\n".join([fingerprint, *texts]).encode()).hexdigest()[:24]
    path = models.root() / "joined" / f"{digest}.safetensors"
    try:
        return load_file(path)["rows"]
    except OSError:
        _log.warning("placing %d names by %s; once, then it is kept", len(texts), fingerprint.partition("/")[0])
        rows = encode(texts)
    _keep(path, {"rows": rows})
    return rows


def _keep(path: Path, arrays: Mapping[str, Floats]) -> None:
    """Whole or not at all; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file(dict(arrays), part)
        part.replace(path)
    except OSError:
        return
