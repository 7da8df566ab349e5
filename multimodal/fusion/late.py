"""Late fusion: every modality decides for itself, then the decisions are added.

Shapes: B batch, M modalities, H hidden_dim, W width, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.errors import ConfigError, InputError
from multimodal.fusion.checks import checked_count, checked_share
from multimodal.fusion.intake import Intake, shares_of, weighted_sum
from multimodal.fusion.residual import around_mean
from multimodal.fusion.stand_in import Own, StandIn, inner_width
from multimodal.fusion.temperature import fit_temperature

FUSED = "fused"
_SUBSETS_UP_TO = 6


class LateFusion(nn.Module):
    """A learned weighted sum of what each modality says on its own; nothing is computed across modalities.

    Untrained, the result is the mean of the projected modalities weighted by quality. ``contributions`` mix each
    modality's share in the mean with its effect on the residual, measured by leaving it out (`residual.around_mean`).
    ``weights`` are the learned shares, w_m = q_m exp(l_m) / sum over the present. Tokens enter as their masked mean.

    With `num_classes` each modality has a head, and the decision is the weighted product of experts, over the present:

        log p = log_softmax(sum_m w_m log p_m / T_n),     log p_m = log_softmax(logits_m / T_m)

    in metadata["log_probabilities"], by modality and under "fused", each (B, C); "level" says "decisions". The
    temperatures (arXiv:1706.04599) are 1 until `fit_temperature`; T_n is one for each number n of present modalities,
    because three that agree are surer than two, and T_1 = 1. Where a modality is absent its row is uniform. Without
    `num_classes` "level" says "features": the result is the weighted sum of projected features alone.

    Args:
        modality_dims: dimension of each modality by name.
        hidden_dim: H, of the result.
        num_classes: C, or None.
        width: of the hidden layer of each modality's own MLP; H, but at most 128, where None.
        dropout: of that hidden layer, in training.
        modality_dropout: in training, probability that a present modality is taken for absent (never the last one).
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        hidden_dim: int = 512,
        *,
        num_classes: int | None = None,
        width: int | None = None,
        dropout: float = 0.0,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.intake = Intake(modality_dims, hidden_dim, modality_dropout=modality_dropout)
        count = len(self.intake.names)
        self.core = LateResidual(count, hidden_dim, width=width, dropout=dropout)
        self.decide: Decisions | None = None
        if num_classes is not None:
            if FUSED in self.intake.names:
                raise ConfigError(f"modality_dims has the name {FUSED!r}, which is the name of the joint decision")
            self.decide = Decisions(count, hidden_dim, checked_count("num_classes", num_classes))
        self.options = {
            "num_classes": num_classes, "width": width, "dropout": dropout, "modality_dropout": modality_dropout,
        }  # fmt: skip

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
        fused, metadata = around_mean(taken, self.core, measure=not self.training)
        told, weights = metadata.pop("told"), metadata["weights"]
        metadata["level"] = "features" if self.decide is None else "decisions"
        metadata["weights"] = dict(zip(taken.names, weights.unbind(1), strict=True))
        if self.decide is not None:
            joint, single = self.decide(told, weights, taken.quality)
            named = dict(zip(taken.names, single.unbind(1), strict=True))  # (B, M, C) -> M of (B, C)
            metadata["log_probabilities"] = {**named, FUSED: joint}
        return fused, metadata

    @torch.no_grad()
    def fit_temperature(
        self,
        features: Mapping[str, Tensor | None],
        labels: Tensor,
        *,
        mask: Mapping[str, Any] | None = None,
        quality: Mapping[str, Any] | None = None,
        padding: Mapping[str, Tensor] | None = None,
    ) -> dict[str, float]:
        """Calibrate on held-out data, never on what was trained on; sets the temperatures and returns them by name.

        First each modality alone, where it is present; then each number of present modalities, over every subset of
        that size that the data has (up to six modalities; beyond, only what is present as given). What the
        data never shows keeps its temperature.

        Raises:
            ConfigError: made without `num_classes`.
            InputError: `labels` are not (B,) classes.
        """
        if self.decide is None:
            raise ConfigError("fit_temperature needs decisions; make LateFusion with num_classes")
        training = self.training
        self.eval()
        try:
            taken = self.intake(features, mask=mask, quality=quality, padding=padding)
            details = self.core(taken.vectors, taken.quality)[1]
            return self._fit(self.decide, details["told"], taken.quality, labels.to(taken.quality.device))
        finally:
            self.train(training)

    def _fit(self, decide: Decisions, told: Tensor, quality: Tensor, labels: Tensor) -> dict[str, float]:
        names = self.intake.names
        if labels.shape != quality.shape[:1] or labels.is_floating_point():
            raise InputError(f"labels are {labels.dtype} {tuple(labels.shape)}, expected whole ({len(quality)},)")
        present, logits, found = quality > 0, decide.logits(told), {}
        for m, name in enumerate(names):
            if bool(present[:, m].any()):
                found[name] = fit_temperature(logits[present[:, m], m], labels[present[:, m]])
                decide.temperature[m] = found[name]
        for n in range(2, len(names) + 1):
            joint, wanted = [], []
            for chosen in combinations(range(len(names)), n) if len(names) <= _SUBSETS_UP_TO else [range(len(names))]:
                kept = torch.zeros_like(present[0])
                kept[list(chosen)] = True
                rows = (present & kept).sum(1) == n
                part = quality[rows] * kept
                joint.append(decide.summed(logits[rows], self.core.weights(part)))
                wanted.append(labels[rows])
            if sum(len(rows) for rows in wanted):
                found[f"{n} present"] = fit_temperature(torch.cat(joint), torch.cat(wanted))
                decide.joint_temperature[n - 1] = found[f"{n} present"]
        return found


class LateResidual(nn.Module):
    """(vectors (B, M, H), quality (B, M)) -> residual (B, H); additive: no term sees two modalities.

    residual = sum_m (w_m - q_m / sum q) x_m + sum_m u_m, u_m = an MLP of modality m alone (of its learned absent vector where
    it is absent). Tells ``weights`` (B, M) and ``told`` (B, M, H), which the heads read.
    """

    def __init__(self, modalities: int, hidden_dim: int, *, width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        width = inner_width(hidden_dim) if width is None else checked_count("width", width)
        self.stand_in = StandIn(modalities, hidden_dim)
        self.logit = nn.Parameter(torch.zeros(modalities))
        self.own = Own(modalities, hidden_dim, width, dropout=checked_share("dropout", dropout))

    def weights(self, quality: Tensor) -> Tensor:
        """(B, M) -> (B, M), sums to 1 over the present; with equal logits exactly `shares_of(quality)`."""
        return shares_of(quality * (self.logit - self.logit.max()).to(quality.dtype).exp())

    def forward(self, vectors: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Any]]:
        x = self.stand_in(vectors, quality)
        said = self.own(x)
        weights = self.weights(quality)
        residual = weighted_sum(weights - shares_of(quality), vectors) + said.sum(1)
        return residual, {"weights": weights, "told": x + said}


class Decisions(nn.Module):
    """A linear head per modality and their calibrated product; see `LateFusion`."""

    def __init__(self, modalities: int, hidden_dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(modalities, hidden_dim, num_classes))
        self.bias = nn.Parameter(torch.zeros(modalities, num_classes))
        self.register_buffer("temperature", torch.ones(modalities))
        self.register_buffer("joint_temperature", torch.ones(modalities))
        self.temperature: Tensor
        self.joint_temperature: Tensor

    def logits(self, told: Tensor) -> Tensor:
        """(B, M, H) -> (B, M, C)"""
        return torch.einsum("bmh,mhc->bmc", told, self.weight) + self.bias

    def summed(self, logits: Tensor, weights: Tensor) -> Tensor:
        """The weighted log-probabilities added, (B, M, C) -> (B, C), before the joint temperature."""
        return weighted_sum(weights, self._single(logits))

    def forward(self, told: Tensor, weights: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Joint (B, C) and single (B, M, C) log-probabilities."""
        logits = self.logits(told)
        count = (quality > 0).sum(1).clamp_min(1)  # (B,)
        heat = self.joint_temperature.float()[count - 1][:, None]
        joint = functional.log_softmax(self.summed(logits, weights) / heat, -1)
        return joint, self._single(logits.masked_fill((quality == 0)[..., None], 0))

    def _single(self, logits: Tensor) -> Tensor:
        exact = torch.promote_types(logits.dtype, torch.float32)
        return functional.log_softmax(logits.to(exact) / self.temperature[:, None].to(exact), -1)
