"""Sounds to the shared space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings import models
from multimodal.embeddings._entry import unreadable
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.likeness import OwnSpace
from multimodal.embeddings.runtime import Device, Runtime, open_runtime
from multimodal.embeddings.spectrum import resample, spectra
from multimodal.embeddings.yamnet import FEATURES
from multimodal.errors import InputError
from multimodal.quality import audio_quality
from multimodal.types import ModalityEmbedding, ModalityType

TOP_CLASSES = 30
"""Classes that place a sound in the shared space."""

LABELS = 10
MAX_CHANNELS = 32

Floats = NDArray[np.float32]


class AudioModalityEncoder:
    """Sounds as unit vectors of 384 dimensions (YAMNet, ConSE over the mean of the patches' scores). Thread-safe.

    Args:
        device: "auto" | "cpu" | "cuda".
        max_duration: seconds; what comes after is not heard. None hears everything.
        runtime: runs the graph; opened from the pulled model where None.

    Raises:
        ModelMissingError: the model has not been pulled; the message says how.

    Attributes:
        vocabulary: the 521 classes it can name.
        own: what ``metadata["native"]`` is of the mean of the patches' features.
    """

    modality = ModalityType.AUDIO

    def __init__(
        self, *, device: Device = "auto", max_duration: float | None = None, runtime: Runtime | None = None
    ) -> None:
        self._runtime = runtime or open_runtime("yamnet", device)
        self._max_duration = max_duration
        self.vocabulary = Vocabulary.load(models.folder_of("yamnet"))
        self.own = OwnSpace.shipped("audio")
        self.fingerprint = f"{self.own.named(self._runtime.fingerprint)}/conse/seconds-{max_duration}"

    def __call__(self, samples: Any, sample_rate: int = 16_000) -> Any:
        """One sound -> `ModalityEmbedding`; a list of sounds of one rate -> a list of them.

        A sound is float in [-1, 1] or int16, (samples,) or (samples, channels), an array or a tensor.

        Raises:
            InputError: no sound, an empty one, NaN or infinity in it, an impossible rate.
        """
        if isinstance(samples, (list, tuple)):
            for sound in samples:
                mono(sound, sample_rate, self._max_duration)
            return self.encode_batch([(sound, sample_rate) for sound in samples])
        mono(samples, sample_rate, self._max_duration)
        return self.encode_batch([(samples, sample_rate)])[0]

    def encode_batch(self, items: Sequence[tuple[Any, int]]) -> list[ModalityEmbedding]:
        """As many (samples, rate) as you like; one that cannot be read gives an entry with `error`, the others live."""
        results: list[ModalityEmbedding | None] = [None] * len(items)
        heard: list[tuple[int, dict[str, float], int]] = []  # place, quality, patches
        patches: list[Floats] = []
        for i, item in enumerate(items):
            try:
                samples, rate = _pair(item)
                sound = mono(samples, rate, self._max_duration)
            except InputError as error:
                results[i] = unreadable(self.modality, str(error), FEATURES)
                continue
            patches.append(spectra(resample(sound, rate)))
            heard.append((i, audio_quality(sound, rate), len(patches[-1])))
        if not heard:
            return [result for result in results if result is not None]
        scores, features = self._runtime(np.concatenate(patches) if len(patches) > 1 else patches[0])
        ends = np.cumsum([count for _, _, count in heard]).tolist()
        means = np.stack(
            [scores[end - count : end].mean(0) for (_, _, count), end in zip(heard, ends, strict=True)]
        )  # (N, 521)
        labels = self.vocabulary.top(means, LABELS)
        for (i, quality, count), end, mean, named in zip(heard, ends, means, labels, strict=True):
            own = features[end - count : end]
            metadata = {"native": torch.from_numpy(self.own(own.mean(0))), "labels": named, "quality": quality}
            results[i] = ModalityEmbedding(
                self.modality, torch.from_numpy(self.vocabulary.place(mean, TOP_CLASSES)), torch.from_numpy(own),
                metadata, quality["quality"], named[0][1],
            )  # fmt: skip
        return [result for result in results if result is not None]


def mono(samples: Any, rate: int, max_duration: float | None = None) -> Floats:
    """Any accepted form -> float32 (S,) at its own rate, channels averaged, cut to `max_duration` seconds."""
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not 1000 <= rate <= 1_000_000:
        raise InputError(f"a sample rate is a whole number of Hz from 1,000 to 1,000,000, not {rate!r}")
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.dtype is torch.bfloat16 else samples).numpy()
    if not isinstance(samples, np.ndarray):
        raise InputError(f"a sound is an array or a tensor, not {type(samples).__name__}")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS):
        raise InputError(f"a sound is (samples,) or (samples, channels), not {samples.shape}")
    if 0 in samples.shape:
        raise InputError(f"the sound is empty: {samples.shape}")
    if max_duration is not None:
        samples = samples[: max(1, round(max_duration * rate))]
    if samples.dtype == np.int16:
        single: Floats = samples.astype(np.float32)
        single /= 32768.0
    elif np.issubdtype(samples.dtype, np.floating):
        single = samples.astype(np.float32)
        if not np.isfinite(single).all():
            raise InputError("the sound holds NaN or infinity")
    else:
        raise InputError(f"a sound is float or int16, not {samples.dtype}")
    if single.ndim == 2:
        single = single.mean(1) if single.shape[1] > 1 else single[:, 0]
    return single


def _pair(item: Any) -> tuple[Any, Any]:
    """An item of a batch; a sound that came without its rate is one more that cannot be read."""
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise InputError(f"an item is (samples, rate), not {type(item).__name__}")
    return item[0], item[1]
