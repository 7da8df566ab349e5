"""What is computed per modality, before any meets another: norm, learned absence, a small MLP each.

Shapes: B batch, M modalities, H hidden_dim, W width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
_TRUST = 0.25

_WIDEST = 128


class StandIn(nn.Module):
    """x -> absent + q^e (norm(x) g - absent), by modality: the normed input at q = 1, the learned absent vector at q = 0.

    RMS norm (arXiv:1910.07467) with a gain per modality keeps every direction and takes away the scale, which differs
    between encoders. In between, the exponent e > 0 says how far a measured quality is believed: near 0 the input counts in
    full until it is gone, at 1 it fades as it does in the mean. It is learned per modality and starts at 0.25, because a
    poor signal is rarely as poor as its score: what the mean has to weigh, the residual can still read.

    Args:
        modalities: M.
        hidden_dim: H.
    """

    def __init__(self, modalities: int, hidden_dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(modalities, hidden_dim))
        self.absent = nn.Parameter(torch.zeros(modalities, hidden_dim))
        self.log_exponent = nn.Parameter(torch.full((modalities,), math.log(_TRUST)))

    def norm(self, vectors: Tensor) -> Tensor:
        """(B, M, H) -> (B, M, H); zeros stay zeros."""
        normed: Tensor = functional.rms_norm(vectors, vectors.shape[-1:], eps=EPSILON).to(self.gain.dtype) * self.gain
        return normed

    def believed(self, quality: Tensor) -> Tensor:
        """q^e, (B, M) -> (B, M); 0 stays 0 and 1 stays 1."""
        nothing = quality == 0
        return quality.masked_fill(nothing, 1).pow(self.log_exponent.to(quality.dtype).exp()).masked_fill(nothing, 0)

    def forward(self, vectors: Tensor, quality: Tensor) -> Tensor:
        """(B, M, H), (B, M) -> (B, M, H)."""
        normed = self.norm(vectors)
        return torch.lerp(self.absent.expand_as(normed), normed, self.believed(quality)[..., None].to(normed.dtype))


def inner_width(hidden_dim: int) -> int:
    """Of hidden layers where none is asked for: a residual of rank 128 says enough, and a moment is fused in time."""
    return min(hidden_dim, _WIDEST)


class Own(nn.Module):
    """An MLP for each modality alone, (B, M, H) -> (B, M, H), whose last layer starts at zero.

    Args:
        modalities: M.
        hidden_dim: H.
        width: W, of the hidden layer.
        dropout: of the hidden layer, in training.
    """

    def __init__(self, modalities: int, hidden_dim: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_dim)
        self.inner = nn.Parameter(torch.empty(modalities, hidden_dim, width).uniform_(-bound, bound))
        self.inner_bias = nn.Parameter(torch.empty(modalities, width).uniform_(-bound, bound))
        self.outer = nn.Parameter(torch.zeros(modalities, width, hidden_dim))
        self.outer_bias = nn.Parameter(torch.zeros(modalities, hidden_dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.gelu(torch.einsum("bmh,mhw->bmw", x, self.inner) + self.inner_bias)
        return torch.einsum("bmw,mwh->bmh", self.drop(inner), self.outer) + self.outer_bias
