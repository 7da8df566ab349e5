"""What comes with the package: a flow in a small space, the basis that leads out of it, and the shapes of both decoders.

Letters: B batch, K coordinates, D condition (384), (C, H, W) the array of a decoder.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import ModelFetchError, ModelMissingError
from multimodal.generation.basis import Basis
from multimodal.generation.enlarge import Enlarger
from multimodal.generation.flow import sample
from multimodal.generation.net import PointNet


class Shape(NamedTuple):
    """`coarse`: (C, H, W) of the arrays in the basis; `fine`: of what is made of them."""

    coarse: tuple[int, int, int]
    fine: tuple[int, int, int]
    coordinates: int
    network: dict[str, Any]


SHAPES = {
    "pictures": Shape((3, 32, 32), (3, 64, 64), 256, {"width": 384, "hidden": 512, "blocks": 3, "embedding": 192}),
    "sounds": Shape((1, 48, 64), (1, 192, 64), 160, {"width": 192, "hidden": 256, "blocks": 3, "embedding": 128}),
}


class Decoder(nn.Module):
    """Conditions to pictures in [-1, 1] ("pictures") or log-mel ("sounds")."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.shape = SHAPES[kind]
        channels, height, width = self.shape.coarse
        self.basis = Basis(channels * height * width, self.shape.coordinates)
        self.network = PointNet(coordinates=self.shape.coordinates, **self.shape.network)
        self.enlarger = Enlarger() if kind == "pictures" else None

    def forward(self, condition: Tensor, noise: Tensor, *, steps: int, guidance: float) -> Tensor:
        """condition (B, D) unit vectors, noise (B, K) normal -> (B, C, H, W)."""
        return self.array(sample(self.network, noise, condition, steps=steps, guidance=guidance))

    def array(self, coordinates: Tensor) -> Tensor:
        """(B, K) -> (B, C, H, W)."""
        coarse = self.basis.arrays(coordinates).view(-1, *self.shape.coarse)  # (B, F) -> (B, C, h, w)
        if self.enlarger is not None:
            enlarged: Tensor = self.enlarger(coarse)
            return enlarged
        return F.interpolate(coarse, size=self.shape.fine[1:], mode="bilinear", align_corners=False)

    def coarse(self, arrays: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F): what the basis is made for."""
        return F.interpolate(arrays, size=self.shape.coarse[1:], mode="area").flatten(1)


def place_of(kind: str) -> Path:
    """Where the package keeps the weights of a decoder."""
    return Path(str(resources.files("multimodal.generation") / "data")) / f"{kind}.safetensors"


def load(kind: str, path: Path | None = None) -> Decoder:
    """The decoder of "pictures" or "sounds", float32, on the CPU, not trainable.

    Raises:
        ModelMissingError: the file is not there.
        ModelFetchError: it is damaged, or of another decoder.
    """
    path = path or place_of(kind)
    if not path.is_file():
        raise ModelMissingError(f"{path} is not there: `python -m benchmarks.fitting.generators {kind} --install` makes it")
    decoder = Decoder(kind)
    try:
        decoder.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ModelFetchError(f"{path} holds no decoder of {kind}: {str(error).splitlines()[0]}") from error
    return decoder.eval().requires_grad_(False)


def save(decoder: Decoder, path: Path) -> None:
    """Write it as float16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        save_file({name: tensor.half().contiguous() for name, tensor in decoder.state_dict().items()}, path)
