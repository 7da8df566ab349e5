"""Bilinear fusion: products across modalities, which no sum can express.

Shapes: B batch, M modalities, H hidden_dim, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusion.checks import checked_count, checked_share
from multimodal.fusion.intake import Intake
from multimodal.fusion.residual import around_mean
from multimodal.fusion.stand_in import Own, StandIn, inner_width

RANK = 64

_START = 0.3
"""Of a factor's product with x, in deviations: small, so that factors are learned rather than chosen among the drawn."""


class BilinearFusion(nn.Module):
    """The tensor product of all modalities, each with a 1 appended, contracted with a low-rank tensor.

        residual = W . ([x_1, 1] (x) ... (x) [x_M, 1])              (Tensor Fusion, arXiv:1707.07250)
        W        = sum_r f_r1 (x) ... (x) f_rM (x) w_r              (low rank, arXiv:1806.00064)

    so that residual = sum_r w_r prod_m (f_rm . [x_m, 1]), and W is never made. The paper has R such terms for each number of
    the result; here the R terms are shared by all H, w_r saying what each means to them (as in arXiv:1610.04325): H times
    fewer factors. x_m is the modality as its own small MLP embeds it, as in both papers. The appended 1 keeps every product
    of fewer modalities too, down to each one alone. It learns the XOR of two signs, with a linear head on the result.

    The rows w start at zero: untrained, the result is the mean of the projected modalities weighted by quality.
    ``contributions`` mix each modality's share in the mean with its effect on the residual, measured by leaving it out
    (`residual.around_mean`). Tokens enter as their masked mean.

    Args:
        modality_dims: dimension of each modality by name.
        hidden_dim: H, of the result.
        rank: R, of the tensor, which has R (M (H + 1) + H) parameters.
        width: of the hidden layer of each modality's own MLP; H, but at most 128, where None.
        dropout: of that hidden layer and of the products, in training.
        modality_dropout: in training, probability that a present modality is taken for absent (never the last one).
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        hidden_dim: int = 512,
        *,
        rank: int = RANK,
        width: int | None = None,
        dropout: float = 0.0,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.intake = Intake(modality_dims, hidden_dim, modality_dropout=modality_dropout)
        self.core = BilinearResidual(len(self.intake.names), hidden_dim, rank=rank, width=width, dropout=dropout)
        self.options = {"rank": rank, "width": width, "dropout": dropout, "modality_dropout": modality_dropout}

    def forward(
        self,
        features: Mapping[str, Tensor | None],
        *,
        mask: Mapping[str, Any] | None = None,
        quality: Mapping[str, Any] | None = None,
        padding: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """(fused (B, H), metadata); arguments as in `Intake.forward`, metadata as in `residual.around_mean`."""
        taken = self.intake(features, mask=mask, quality=quality, padding=padding)
        return around_mean(taken, self.core, measure=not self.training)

    def full_tensor(self) -> Tensor:
        """W itself, (H + 1, ..., H + 1, H) with M axes of inputs: (H + 1)^M H numbers, so for small H only."""
        return self.core.full_tensor()


class BilinearResidual(nn.Module):
    """(vectors (B, M, H), quality (B, M)) -> residual (B, H)."""

    def __init__(
        self, modalities: int, hidden_dim: int, *, rank: int = RANK, width: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        checked_count("rank", rank)
        width = inner_width(hidden_dim) if width is None else checked_count("width", width)
        self.stand_in = StandIn(modalities, hidden_dim)
        self.own = Own(modalities, hidden_dim, width, dropout=checked_share("dropout", dropout))
        self.factors = nn.Parameter(torch.randn(modalities, hidden_dim, rank) * _START / math.sqrt(hidden_dim))
        self.ones = nn.Parameter(torch.randn(modalities, rank))  # the rows of the factors for the 1
        self.weights = nn.Parameter(torch.zeros(rank, hidden_dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Any]]:
        seen = torch.einsum("bmh,mhr->bmr", self.embed(vectors, quality), self.factors) + self.ones  # (B, M, R)
        product = self.drop(reduce(torch.mul, seen.unbind(1)))  # M of (B, R) -> (B, R)
        return product @ self.weights, {}

    def embed(self, vectors: Tensor, quality: Tensor) -> Tensor:
        """The x_m of the product, (B, M, H)."""
        x = self.stand_in(vectors, quality)
        embedded: Tensor = x + self.own(x)
        return embedded

    def full_tensor(self) -> Tensor:
        """See `BilinearFusion.full_tensor`."""
        rows = torch.cat([self.factors, self.ones[:, None]], 1)  # (M, H + 1, R)
        tensor = self.weights.T  # (H, R)
        for factor in rows.flip(0):
            shape = (len(factor), *[1] * (tensor.ndim - 1), factor.shape[1])
            tensor = tensor * factor.view(shape)  # (.., H, R) -> (H + 1, .., H, R)
        return tensor.sum(-1)
