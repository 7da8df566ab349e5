"""What the embedded encoders give, by checkpoints of others: `ModalityEmbedding`s in the checkpoint's own space.

`multimodal.embeddings.opening` brings them into one space with the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings._entry import unreadable
from multimodal.embeddings.audio import mono
from multimodal.embeddings.hub.checkpoint import Checkpoint, find
from multimodal.embeddings.hub.sentences import SentenceTower
from multimodal.embeddings.hub.towers import WITH_PICTURES, WITH_SOUNDS, PictureTower, SoundTower, TextTower, open_model
from multimodal.embeddings.image import read_pixels, squeeze
from multimodal.embeddings.runtime import Device
from multimodal.embeddings.spectrum import resample
from multimodal.embeddings.text import checked
from multimodal.errors import InputError
from multimodal.quality import audio_quality, image_quality, text_quality
from multimodal.types import ModalityEmbedding, ModalityType

LONGEST = 512
"""Tokens of a text, where the model itself sets no lower limit."""


def open_encoder(
    modality: str, name: str, *, device: Device = "auto", local_files_only: bool = False, revision: str | None = None,
    dtype: str = "float32", max_tokens: int = LONGEST, max_duration: float | None = None,
) -> HubEncoder:  # fmt: skip
    """An encoder of "text", "image" or "audio" by a checkpoint.

    Args:
        name: a folder, or ``owner/name`` on the hub.
        local_files_only: never ask the hub; what was fetched before is found.
        revision: on the hub: a branch, a tag or a commit.
        dtype: "float32", "bfloat16" or "float16"; vectors come as float32.
        max_tokens: of a text, at most.
        max_duration: seconds of a sound that are heard.

    Raises:
        ConfigError: modality, device or dtype unknown.
        ModelMissingError: it is not here and cannot be fetched, or transformers is not installed.
        ModelFetchError: it cannot be read, or is of a kind that does not read this modality.
    """
    checkpoint = find(name, device=device, local_files_only=local_files_only, revision=revision, dtype=dtype)
    match ModalityType(modality):
        case ModalityType.TEXT:
            return HubTextEncoder(checkpoint, max_tokens=max_tokens)
        case ModalityType.IMAGE:
            return HubImageEncoder(checkpoint)
        case _:
            return HubAudioEncoder(checkpoint, max_duration=max_duration)


class HubTextEncoder:
    """Texts by a sentence-transformers model, or by the words' side of a two-tower model. Thread-safe.

    Attributes:
        width: D of its vectors.
        fingerprint: identity of the numbers.
    """

    modality = ModalityType.TEXT

    def __init__(self, checkpoint: Checkpoint, *, max_tokens: int = LONGEST) -> None:
        if checkpoint.is_sentence_transformer:
            self._tower: SentenceTower | TextTower = SentenceTower(checkpoint, max_tokens)
        else:
            self._tower = TextTower(checkpoint, open_model(checkpoint, sorted(WITH_PICTURES | WITH_SOUNDS)))
        self.width = self._tower.width
        self.fingerprint = f"{checkpoint.fingerprint()}/tokens-{self._tower.max_tokens}"

    def __call__(self, texts: Any) -> Any:
        """One text -> `ModalityEmbedding`; a list of texts -> a list of them. InputError where one cannot be read."""
        return _called(self, texts, checked)

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """One that cannot be read gives an entry with `error` and leaves the others alone."""
        return [_read(self, item) for item in items]

    def places(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (N, D) only, many at once; see `many` of the towers."""
        return torch.nn.functional.normalize(self._tower.many(texts), dim=-1).cpu().numpy()

    def read(self, item: Any) -> ModalityEmbedding:
        text = checked(item)
        vector, tokens = (part.cpu() for part in self._tower(text))
        quality = text_quality(text, 1.0)
        unit = torch.nn.functional.normalize(vector, dim=0)
        metadata = {"native": vector, "labels": [], "quality": quality}
        return ModalityEmbedding(self.modality, unit, tokens, metadata, quality["quality"], 1.0)


class HubImageEncoder:
    """Pictures and their cells by CLIP, SigLIP or SigLIP 2. Thread-safe. `words` reads texts into the same space."""

    modality = ModalityType.IMAGE

    def __init__(self, checkpoint: Checkpoint) -> None:
        model = open_model(checkpoint, sorted(WITH_PICTURES))
        self._tower = PictureTower(checkpoint, model)
        self.side: int = self._tower.side
        self.words = TextTower(checkpoint, model)
        self.width = self.words.width
        self.temperature = _temperature(model)
        self.fingerprint = checkpoint.fingerprint()

    def __call__(self, images: Any) -> Any:
        """As `ImageModalityEncoder`. InputError where one cannot be read."""
        return _called(self, images, read_pixels)

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """One that cannot be read gives an entry with `error` and leaves the others alone."""
        return [_read(self, item) for item in items]

    def read(self, item: Any) -> ModalityEmbedding:
        side = self._tower.side
        pixels = np.empty((side, side, 3), np.uint8)
        squeeze(read_pixels(item), pixels)
        vector, cells = (part.cpu() for part in self._tower(pixels))
        quality = image_quality(pixels)
        metadata = {"native": vector, "labels": [], "grid": self._tower.grid, "quality": quality}
        return ModalityEmbedding(self.modality, vector, cells, metadata, quality["quality"], 1.0)


class HubAudioEncoder:
    """Sounds by CLAP or PE-A. Thread-safe. `words` reads texts into the same space."""

    modality = ModalityType.AUDIO

    def __init__(self, checkpoint: Checkpoint, *, max_duration: float | None = None) -> None:
        model = open_model(checkpoint, sorted(WITH_SOUNDS))
        self._tower = SoundTower(checkpoint, model)
        self._max_duration = max_duration
        self.words = TextTower(checkpoint, model)
        self.width = self.words.width
        self.temperature = _temperature(model)
        self.fingerprint = f"{checkpoint.fingerprint()}/seconds-{max_duration}"

    def __call__(self, samples: Any, sample_rate: int = 16_000) -> Any:
        """As `AudioModalityEncoder`. InputError where one cannot be read."""
        many = isinstance(samples, (list, tuple))
        entries = [self.read((sound, sample_rate)) for sound in (samples if many else [samples])]
        return entries if many else entries[0]

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """One (samples, rate) that cannot be read gives an entry with `error` and leaves the others alone."""
        return [_read(self, item) for item in items]

    def read(self, item: Any) -> ModalityEmbedding:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise InputError(f"an item is (samples, rate), not {type(item).__name__}")
        samples, rate = item
        heard = mono(samples, rate, self._max_duration)
        vector = self._tower(resample(heard, rate, self._tower.rate)).cpu()
        quality = audio_quality(heard, rate)
        metadata = {"native": vector, "labels": [], "quality": quality}
        return ModalityEmbedding(self.modality, vector, vector[None], metadata, quality["quality"], 1.0)


HubEncoder = HubTextEncoder | HubImageEncoder | HubAudioEncoder


def _called(encoder: Any, items: Any, check: Callable[[Any], Any]) -> Any:
    if isinstance(items, (list, tuple)):
        for item in items:
            check(item)
        return [encoder.read(item) for item in items]
    return encoder.read(items)


def _read(encoder: Any, item: Any) -> ModalityEmbedding:
    try:
        entry: ModalityEmbedding = encoder.read(item)
    except InputError as error:
        entry = unreadable(encoder.modality, str(error), encoder.width, encoder.width)
    return entry


@torch.no_grad()
def _temperature(model: Any) -> float:
    """Of the softmax over cosines that the towers were trained with."""
    if hasattr(model, "text_audio_logit_scale"):  # PE-A: the scale itself, the others have its logarithm
        scale = float(model.text_audio_logit_scale)
    else:
        scale = math.exp(float(model.logit_scale if hasattr(model, "logit_scale") else model.logit_scale_a))
    return 1 / scale if scale > 1 else 1.0
