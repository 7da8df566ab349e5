"""Pictures to sounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.runtime import Device
from multimodal.errors import ConfigError
from multimodal.generation import mel
from multimodal.generation.backends import SoundPipeline, device_of
from multimodal.generation.decoder import load
from multimodal.generation.pictures import Backend
from multimodal.generation.request import Encoder, Request, point, words
from multimodal.types import ModalityEmbedding

_STEPS = {"flow": 16, "diffusers": 50}
_GUIDANCE = {"flow": 2.0, "diffusers": 2.5}
_PEAK = 0.5


@dataclass(slots=True, eq=False)
class GeneratedSound:
    """One sound.

    Attributes:
        samples: mono float32 (S,), its peak at 0.5; of the flow 1.91 s.
        sample_rate: in Hz; of the flow 16,000.
        seed: that makes it again.
        backend: "flow" | "diffusers".
        metadata: ``steps`` and ``guidance`` as used; ``model``; of the flow ``mel`` the log-mel picture float32 (192, 64)
            it was made from, of diffusers ``prompt`` the words.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    seed: int
    backend: Backend
    metadata: dict[str, Any] = field(default_factory=dict)


class ImageToAudioGenerator:
    """Sounds that go with a picture, a text or any point of the shared space.

    The flow heard instruments, drums, voices, and few things more (`docs/generation.md`): a picture of a violin sounds, one
    of a dog does not bark. Through diffusers a picture becomes the names of what is on it, and those a sound.

    Args:
        backend: "flow", which comes with the package, or "diffusers", a text-to-audio pipeline of that library.
        model: of diffusers: a folder, or a name on the hub.
        weights: of the flow, where they are not the package's.
        image_encoder, text_encoder: the embedded ones where None, opened when they are first needed.
        local_files_only, revision, dtype: as in `TextToImageGenerator`.

    Raises:
        ConfigError, ModelMissingError, ModelFetchError: as `TextToImageGenerator`.
    """

    def __init__(
        self,
        *,
        backend: Backend = "flow",
        model: str | Path | None = None,
        device: Device = "auto",
        weights: Path | None = None,
        image_encoder: Encoder | None = None,
        text_encoder: Encoder | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self.backend: Backend = backend
        self._device = device_of(device)
        self._kind: Device = device
        self._image, self._text = image_encoder, text_encoder
        if backend == "flow":
            if model is not None:
                raise ConfigError("model is for backend='diffusers'; other weights of the flow are named by weights")
            self._decoder = load("sounds", weights).to(self._device)
        elif backend == "diffusers":
            self._pipeline = SoundPipeline(
                model, device=self._device, local_files_only=local_files_only, revision=revision, dtype=dtype
            )
        else:
            raise ConfigError(f"backend is {backend!r}, expected 'flow' or 'diffusers'")

    def generate(
        self,
        source: str | ModalityEmbedding | Tensor | NDArray[Any],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        count: int = 1,
        seconds: float | None = None,
    ) -> list[GeneratedSound]:
        """`count` sounds; the same bits for the same source, seed and device, however many are asked for at once.

        Args:
            source: a picture as the image encoder takes it, an embedding of anything, a vector (384,), or a text.
            steps, guidance: as of pictures; None = 16 and 2 for the flow, 50 and 2.5 for diffusers.
            seconds: of diffusers, None = 5; the flow's sounds are 1.91 s long.

        Raises:
            InputError: the source cannot be read.
            ConfigError: a value that cannot be meant.
        """
        asked = Request(
            _STEPS[self.backend] if steps is None else steps,
            _GUIDANCE[self.backend] if guidance is None else guidance, seed, count,
        )  # fmt: skip
        used: dict[str, Any] = {"steps": asked.steps, "guidance": float(asked.guidance)}
        if self.backend == "diffusers":
            prompt = words(source, self._encode, self._vocabulary)
            used |= {"model": self._pipeline.name, "prompt": prompt}
            length = 5.0 if seconds is None else seconds
            return [
                GeneratedSound(
                    _level(self._pipeline(prompt, asked.steps, asked.guidance, s, length)), self._pipeline.sample_rate,
                    s, self.backend, dict(used),
                )
                for s in asked.seeds
            ]  # fmt: skip
        if seconds is not None:
            raise ConfigError(f"seconds is {seconds!r}: the flow's sounds are 1.91 s long; diffusers takes a length")
        condition = point(source, self._encode)[None].to(self._device)
        return [self._play(condition, asked, s, used) for s in asked.seeds]

    def _play(self, condition: Tensor, asked: Request, seed: int, used: dict[str, Any]) -> GeneratedSound:
        draws = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, self._decoder.shape.coordinates, generator=draws)
        with torch.inference_mode():
            picture = self._decoder(condition, noise.to(self._device), steps=asked.steps, guidance=asked.guidance)[:, 0]
            samples = mel.sound_of(picture, generator=draws)[0]  # (1, T, M) -> (S,)
        metadata = used | {"model": "flow/sounds", "mel": picture[0].cpu().numpy()}
        return GeneratedSound(_level(samples.cpu().numpy()), mel.RATE, seed, self.backend, metadata)

    def _encode(self, source: Any) -> ModalityEmbedding:
        found: ModalityEmbedding
        if isinstance(source, str):
            if self._text is None:
                from multimodal.embeddings.text import TextModalityEncoder

                self._text = TextModalityEncoder(device=self._kind)
            found = self._text(source)
            return found
        if self._image is None:
            from multimodal.embeddings.image import ImageModalityEncoder

            self._image = ImageModalityEncoder(device=self._kind)
        found = self._image(source)
        return found

    def _vocabulary(self) -> Vocabulary:
        from multimodal.embeddings import models

        return Vocabulary.load(models.folder_of("yamnet"))


def _level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Its peak at 0.5; silence stays silent."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples * np.float32(_PEAK / peak)).astype(np.float32) if peak > 1e-6 else samples.astype(np.float32)
