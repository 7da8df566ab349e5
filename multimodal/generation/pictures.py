"""Words to pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.runtime import Device
from multimodal.errors import ConfigError
from multimodal.generation.backends import PicturePipeline, device_of
from multimodal.generation.decoder import load
from multimodal.generation.request import Encoder, Request, point, words
from multimodal.types import ModalityEmbedding

Backend = Literal["flow", "diffusers"]

_STEPS = {"flow": 16, "diffusers": 30}
_GUIDANCE = {"flow": 2.0, "diffusers": 7.5}


@dataclass(slots=True, eq=False)
class GeneratedPicture:
    """One picture.

    Attributes:
        picture: RGB, uint8 (H, W, 3); of the flow (64, 64, 3).
        seed: that makes it again.
        backend: "flow" | "diffusers".
        metadata: ``steps`` and ``guidance`` as used; ``model``; ``prompt`` where words were used.
    """

    picture: NDArray[np.uint8]
    seed: int
    backend: Backend
    metadata: dict[str, Any] = field(default_factory=dict)


class TextToImageGenerator:
    """Pictures of what a text, or any point of the shared space, says.

    The flow was trained on a thousand emoji and makes nothing else: 64x64, on white, in their style. What it never saw it
    draws as its nearest neighbour in meaning. No model has to be pulled for an embedding; a text needs MiniLM.

    Args:
        backend: "flow", which comes with the package, or "diffusers", any text-to-image pipeline of that library.
        model: of diffusers: a folder, or a name on the hub.
        weights: of the flow, where they are not the package's.
        text_encoder: of texts; the embedded one where None, opened when it is first needed.
        local_files_only, revision, dtype: of diffusers, as its ``from_pretrained`` knows them; weights are read from
            safetensors only and code from nowhere.

    Raises:
        ConfigError: an unknown backend; diffusers without a model.
        ModelMissingError: the weights are not on this disk, or diffusers is not installed.
        ModelFetchError: what is there is no such model.
    """

    def __init__(
        self,
        *,
        backend: Backend = "flow",
        model: str | Path | None = None,
        device: Device = "auto",
        weights: Path | None = None,
        text_encoder: Encoder | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self.backend: Backend = backend
        self._device = device_of(device)
        self._kind: Device = device
        self._encoder = text_encoder
        if backend == "flow":
            if model is not None:
                raise ConfigError("model is for backend='diffusers'; other weights of the flow are named by weights")
            self._decoder = load("pictures", weights).to(self._device)
        elif backend == "diffusers":
            self._pipeline = PicturePipeline(
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
    ) -> list[GeneratedPicture]:
        """`count` pictures; the same bits for the same source, seed and device, however many are asked for at once.

        Args:
            source: a text, an embedding of anything, or a vector (384,) of the shared space. For diffusers what is no
                text becomes the names nearest to it.
            steps: of the way from noise to picture; None = 16 for the flow, 30 for diffusers.
            guidance: how much more than plainly the source counts: 1 is plain; None = 2 or 7.5.

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
            made = [(s, self._pipeline(prompt, asked.steps, asked.guidance, s)) for s in asked.seeds]
        else:
            condition = point(source, self._encode)[None].to(self._device)
            used |= {"model": "flow/pictures"}
            made = [(s, self._draw(condition, asked, s)) for s in asked.seeds]
        return [GeneratedPicture(picture, s, self.backend, dict(used)) for s, picture in made]

    def _draw(self, condition: Tensor, asked: Request, seed: int) -> NDArray[np.uint8]:
        """One at a time: a batch would let its size into the last bits."""
        noise = torch.randn(1, self._decoder.shape.coordinates, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            picture = self._decoder(condition, noise.to(self._device), steps=asked.steps, guidance=asked.guidance)
        return to_pixels(picture)[0].cpu().numpy()

    def _encode(self, source: Any) -> ModalityEmbedding:
        if self._encoder is None:
            from multimodal.embeddings.text import TextModalityEncoder

            self._encoder = TextModalityEncoder(device=self._kind)
        found: ModalityEmbedding = self._encoder(source)
        return found

    def _vocabulary(self) -> Vocabulary:
        from multimodal.embeddings import models

        return Vocabulary.load(models.folder_of("efficientnet-lite0"))


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> (B, 3, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, H, W, 3) -> (B, 3, H, W)


def to_pixels(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) around [-1, 1] -> uint8 (B, H, W, 3)."""
    scaled = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous()  # (B, 3, H, W) -> (B, H, W, 3)
