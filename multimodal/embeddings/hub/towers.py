"""The towers of CLIP, SigLIP, SigLIP 2, CLAP and PE-A: words and pictures, or words and sounds, in one space of their own.

One input at a time: on torch a row's last bits depend on what else is in its batch, and an entry must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.hub.batches import by_length
from multimodal.embeddings.hub.checkpoint import Checkpoint, read_json
from multimodal.errors import ModelFetchError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

WITH_PICTURES = frozenset({"clip", "metaclip_2", "siglip", "siglip2"})
WITH_SOUNDS = frozenset({"clap", "pe_audio", "pe_audio_video"})
_PADDED = frozenset({"siglip", "siglip2"})
"""Trained on texts padded to the full length, and read so."""


class TextTower:
    """The words' side of a two-tower model."""

    def __init__(self, checkpoint: Checkpoint, model: Any) -> None:
        self._tokenizer = checkpoint.load("AutoTokenizer")
        self._model = model
        self._type = checkpoint.model_type
        self._device = checkpoint.device
        text = checkpoint.config.get("text_config") or {}
        self.max_tokens = int(text.get("max_position_embeddings") or 77)
        if self._type == "clap":
            self.max_tokens = min(self.max_tokens, 512)  # RoBERTa counts two positions that no token may have
        self.width = int(self("a")[0].shape[0])

    @torch.inference_mode()
    def __call__(self, text: str) -> tuple[Tensor, Tensor]:
        """-> unit vector (D,) in the space of the two towers, and it again as the one token (1, D)."""
        [vector] = self._read(self._ids(text))
        return vector, vector[None]

    @torch.inference_mode()
    def many(self, texts: Sequence[str]) -> Tensor:
        """(N, D), those of one length read together: faster, and the last bits of a row may differ from its own alone."""
        return by_length([self._ids(text) for text in texts], self._read)

    def _ids(self, text: str) -> Tensor:
        padding = "max_length" if self._type in _PADDED else False
        ids: Tensor = self._tokenizer(
            text, truncation=True, max_length=self.max_tokens, padding=padding, return_tensors="pt"
        ).input_ids
        return ids.to(self._device)

    def _read(self, ids: Tensor) -> Tensor:
        """(n, T), none padded but for SigLIP, which attends to its padding -> unit vectors (n, D)."""
        if self._type.startswith("pe_"):
            hidden = self._model.text_model(ids, output_hidden_states=True).hidden_states[-1][:, 0]
            vectors = self._model.text_audio_head(hidden)
        else:
            vectors = _pooled(self._model.get_text_features(ids))
        return F.normalize(vectors.float(), dim=-1)


class PictureTower:
    """The pictures' side: the whole picture squeezed into the model's square, and each cell of it.

    A cell's vector is what the head makes of that cell alone. For CLIP and SigLIP that is an approximation of where in the
    picture something is: their heads were trained on whole pictures.

    Attributes:
        side: pixels of the square.
        grid: (rows, columns) of cells.
    """

    def __init__(self, checkpoint: Checkpoint, model: Any) -> None:
        vision = checkpoint.config.get("vision_config") or {}
        self._patch = int(getattr(model.config.vision_config, "patch_size", vision.get("patch_size", 16)))
        settings = read_json(checkpoint.folder / "preprocessor_config.json")
        self._patches = checkpoint.model_type == "siglip2"  # takes patches, not pixels
        if self._patches:
            self.side = self._patch * int(int(settings.get("max_num_patches", 256)) ** 0.5)
        else:
            self.side = int(getattr(model.config.vision_config, "image_size", vision.get("image_size", 224)))
        self.grid = (self.side // self._patch, self.side // self._patch)
        self._mean = np.array(settings.get("image_mean", (0.5,) * 3), np.float32)
        self._deviation = np.array(settings.get("image_std", (0.5,) * 3), np.float32)
        self._model, self._device, self._dtype = model, checkpoint.device, checkpoint.dtype

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> tuple[Tensor, Tensor]:
        """(side, side, 3) -> unit vector (D,) and unit vectors of the cells (cells, D), row by row."""
        scaled = (pixels.astype(np.float32) / 255 - self._mean) / self._deviation
        picture = torch.from_numpy(scaled).to(self._device, self._dtype)
        options = {}
        if self._patches:
            rows, columns = self.grid
            # (rows*P, columns*P, 3) -> (rows, P, columns, P, 3) -> (1, rows*columns, P*P*3)
            cells = picture.reshape(rows, self._patch, columns, self._patch, 3).transpose(1, 2).reshape(1, rows * columns, -1)
            options = {"pixel_attention_mask": torch.ones(1, rows * columns, dtype=torch.int32, device=self._device),
                       "spatial_shapes": torch.tensor([[rows, columns]], device=self._device)}  # fmt: skip
        else:
            cells = picture.permute(2, 0, 1)[None]  # (side, side, 3) -> (1, 3, side, side)
        output = self._model.get_image_features(pixel_values=cells, **options)
        vector = F.normalize(_pooled(output)[0].float(), dim=0)
        return vector, F.normalize(self._cells(output.last_hidden_state[0]).float(), dim=-1)

    def _cells(self, hidden: Tensor) -> Tensor:
        """Last layer (T, F) -> (cells, D), through the head that pools the whole picture."""
        vision = self._model.vision_model
        if hasattr(vision, "head"):  # SigLIP: attention pooling, of a cell alone
            pooled: Tensor = vision.head(hidden[:, None])
            return pooled
        count = self.grid[0] * self.grid[1]
        projected: Tensor = self._model.visual_projection(vision.post_layernorm(hidden[-count:]))  # without the class token
        return projected


class SoundTower:
    """The sounds' side. What is longer than the model hears at once is cut, never drawn at random.

    Attributes:
        rate: samples a second that it hears.
        longest: samples.
    """

    def __init__(self, checkpoint: Checkpoint, model: Any) -> None:
        self._features = checkpoint.load("AutoFeatureExtractor")
        self.rate = int(self._features.sampling_rate)
        self.longest = int(getattr(self._features, "nb_max_samples", 30 * self.rate))
        self._model, self._device, self._dtype = model, checkpoint.device, checkpoint.dtype
        self._type = checkpoint.model_type

    @torch.inference_mode()
    def __call__(self, samples: Floats) -> Tensor:
        """(S,) at `rate` -> unit vector (D,)."""
        heard = samples[: self.longest]
        inputs = {
            name: value.to(self._device, self._dtype) if value.is_floating_point() else value.to(self._device)
            for name, value in self._features(heard, sampling_rate=self.rate, return_tensors="pt").items()
        }
        if self._type == "clap":
            output = _pooled(self._model.get_audio_features(**inputs))
        else:
            output = self._model.get_audio_embeds(**inputs)
        vector: Tensor = F.normalize(output[0].float(), dim=0)
        return vector


def open_model(checkpoint: Checkpoint, allowed: Sequence[str]) -> Any:
    """The two towers of a checkpoint.

    Raises:
        ModelFetchError: it is of a kind that does not read what is wanted.
    """
    if checkpoint.model_type not in allowed:
        kind = checkpoint.model_type or "unknown"
        raise ModelFetchError(f"{checkpoint.name} is of kind {kind!r}; known here are {', '.join(sorted(allowed))}")
    model = checkpoint.model()
    return model.audio_model if checkpoint.model_type == "pe_audio_video" else model


def _pooled(output: Any) -> Tensor:
    """Of transformers 5 and of 4, which gave the tensor itself."""
    tensor: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return tensor
