"""Early fusion: the modalities meet before anything is decided. Shapes: B batch, M modalities, H hidden_dim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusion.checks import checked_count, checked_share
from multimodal.fusion.intake import Intake
from multimodal.fusion.residual import around_mean, zero_linear
from multimodal.fusion.stand_in import StandIn, inner_width


class EarlyFusion(nn.Module):
    """Norm per modality, concatenation, one shared projection (an MLP) on top of the quality-weighted mean.

    The last layer starts at zero: untrained, the result is the mean of the projected modalities weighted by quality.
    ``contributions`` mix each modality's share in the mean with its effect on the residual, measured by leaving it out
    (`residual.around_mean`). Tokens enter as their masked mean.

    Args:
        modality_dims: dimension of each modality by name.
        hidden_dim: H, of the result.
        width: of the hidden layer; H, but at most 128, where None.
        dropout: of the hidden layer, in training.
        modality_dropout: in training, probability that a present modality is taken for absent (never the last one). It is
            what teaches the vectors that stand in for the absent: use 0.1 to 0.3 where modalities will be missing.
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        hidden_dim: int = 512,
        *,
        width: int | None = None,
        dropout: float = 0.0,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.intake = Intake(modality_dims, hidden_dim, modality_dropout=modality_dropout)
        self.core = EarlyResidual(len(self.intake.names), hidden_dim, width=width, dropout=dropout)
        self.options = {"width": width, "dropout": dropout, "modality_dropout": modality_dropout}

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


class EarlyResidual(nn.Module):
    """(vectors (B, M, H), quality (B, M)) -> residual (B, H)."""

    def __init__(self, modalities: int, hidden_dim: int, *, width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        width = inner_width(hidden_dim) if width is None else checked_count("width", width)
        self.stand_in = StandIn(modalities, hidden_dim)
        self.hidden = nn.Linear(modalities * hidden_dim, width)
        self.drop = nn.Dropout(checked_share("dropout", dropout))
        self.out = zero_linear(width, hidden_dim)

    def forward(self, vectors: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Any]]:
        joined = self.stand_in(vectors, quality).flatten(1)  # (B, M, H) -> (B, M * H)
        return self.out(self.drop(functional.gelu(self.hidden(joined)))), {}
