"""The network of a flow: where a noisy point of a small space came from, given what it is to show.

A residual perceptron (He et al., arXiv:1512.03385); time and condition scale and shift the normalised input of every block
(FiLM, arXiv:1709.07871). It predicts the clean point and not the velocity: clean points lie near few directions and fit
through narrow layers, noise does not (Li & He, arXiv:2511.13720).

Letters: B batch, K coordinates, D width of the condition (384), E width of what time and condition become.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

CONDITION = 384
"""Width of a condition: a unit vector of the shared space."""


class PointNet(nn.Module):
    """Noisy point, time and condition to the clean point.

    Args:
        coordinates: K.
        width: of the residual stream; `hidden` of a block's inner layer.
        blocks: how many.
        embedding: E.
    """

    def __init__(self, *, coordinates: int, width: int, hidden: int, blocks: int, embedding: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.condition = nn.Sequential(nn.Linear(CONDITION, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.unconditional = nn.Parameter(torch.zeros(embedding))
        self.enter = nn.Linear(coordinates, width)
        self.blocks = nn.ModuleList(_Block(width, hidden, embedding) for _ in range(blocks))
        self.leave = nn.Linear(width, coordinates)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, noisy: Tensor, time: Tensor, condition: Tensor, *, drop: Tensor | None = None) -> Tensor:
        """noisy (B, K), time (B,) in [0, 1], condition (B, D) -> clean (B, K).

        Args:
            drop: (B,) bool, True = answer as if nothing were known of the condition.
        """
        given = self.condition(condition * math.sqrt(CONDITION))  # entries of about 1
        if drop is not None:
            given = torch.where(drop[:, None], self.unconditional.to(given.dtype), given)
        mood = F.silu(self.time(_waves(time, given.shape[-1]).to(given.dtype)) + given)  # (B, E)
        x = self.enter(noisy)
        for block in self.blocks:
            x = block(x, mood)
        clean: Tensor = self.leave(x)
        return clean


class _Block(nn.Module):
    """Two layers with a way round them; untrained, nothing but the way."""

    def __init__(self, width: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(embedding, 2 * width)
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, mood: Tensor) -> Tensor:
        scale, shift = self.film(mood).chunk(2, 1)  # (B, 2 w) -> (B, w) twice
        step: Tensor = self.second(F.silu(self.first(self.norm(x) * (1 + scale) + shift)))
        return x + step


def _waves(time: Tensor, width: int) -> Tensor:
    """(B,) in [0, 1] -> (B, width): sines and cosines of 1 to 1000 radians over the whole way, in float32."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), width // 2, device=time.device))
    angles = time.float()[:, None] * frequencies  # (B, width / 2)
    return torch.cat([angles.sin(), angles.cos()], 1)
