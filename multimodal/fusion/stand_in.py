"""The per-modality norm, and the learned vectors that stand in for what is absent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5


class StandIn(nn.Module):
    """x -> absent + q (norm(x) g - absent), by modality: q = 1 is the normed input, q = 0 the learned absent vector.

    RMS norm (arXiv:1910.07467) with a gain per modality keeps every direction and takes away the scale, which differs
    between encoders. A quality between 0 and 1 moves the input towards "absent" by that much, so that what the residual
    sees is as continuous in the quality as the mean is.

    Args:
        modalities: M.
        hidden_dim: H.
    """

    def __init__(self, modalities: int, hidden_dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(modalities, hidden_dim))
        self.absent = nn.Parameter(torch.zeros(modalities, hidden_dim))

    def norm(self, vectors: Tensor) -> Tensor:
        """(B, M, H) -> (B, M, H); zeros stay zeros."""
        normed: Tensor = functional.rms_norm(vectors, vectors.shape[-1:], eps=EPSILON).to(self.gain.dtype) * self.gain
        return normed

    def forward(self, vectors: Tensor, quality: Tensor) -> Tensor:
        """(B, M, H), (B, M) -> (B, M, H)."""
        normed = self.norm(vectors)
        return torch.lerp(self.absent.expand_as(normed), normed, quality[..., None].to(normed.dtype))
