"""Adaptive fusion: a mixture of the other strategies, chosen per sample. Shapes: B batch, M modalities, E experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusion.bilinear import RANK, BilinearResidual
from multimodal.fusion.checks import checked_count, checked_share
from multimodal.fusion.early import EarlyResidual
from multimodal.fusion.hierarchical import HierarchicalResidual, checked_heads
from multimodal.fusion.intake import Intake
from multimodal.fusion.late import LateResidual
from multimodal.fusion.residual import around_mean, zero_linear
from multimodal.fusion.stand_in import StandIn, inner_width

EXPERTS = ("early", "late", "hierarchical", "bilinear")
_TOGETHER = ("bilinear",)
"""Experts that say nothing of their own about a modality alone."""


class AdaptiveFusion(nn.Module):
    """Four experts - the residuals of the other strategies - weighted by a gate that sees content and quality.

        residual = sum_e g_e(x, q) residual_e(x, q),       g = softmax over the experts that apply

    The bilinear expert needs two modalities: log(second best quality / best) is added to its logit, so where one is alone
    it is masked. With `top_k` only the k highest gates count, and
    in training the gate's logits get Gumbel noise, so that every expert is tried (arXiv:2101.03961 adds noise for the same
    reason); without it all experts count. All experts are always computed: they are small and share their input.

    Metadata: ``gates`` by expert (B,), sum to 1; ``said`` by expert (B, H), its residual before the gate: trained on
    mean + said as well as on the result, every expert learns to do alone what the gate mixes, and not only what the others
    leave; ``entropy`` (B,) of the gates in nats; ``load_balance_loss``, the sum over
    e of E f_e P_e (Switch Transformer, arXiv:2101.03961): f_e the share of the samples' choices (their k highest; their
    highest without `top_k`), P_e the mean probability; 1 where all are used alike, up to E where one does everything.
    About 0.01 of it is added to the loss.

    Every expert's last layer starts at zero: untrained, the result is the mean of the projected modalities weighted by
    quality. ``contributions`` mix each modality's share in the mean with its effect on the residual, measured by
    leaving it out (`residual.around_mean`). Tokens enter as their masked mean.

    Args:
        modality_dims: dimension of each modality by name.
        hidden_dim: of the result.
        top_k: experts per sample; all where None.
        num_heads: of the hierarchical expert, as there.
        rank: of the bilinear expert.
        dropout: of the experts, in training.
        attention_dropout: of the hierarchical expert, as there.
        modality_dropout: in training, probability that a present modality is taken for absent (never the last one).
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        hidden_dim: int = 512,
        *,
        top_k: int | None = None,
        num_heads: int | None = None,
        rank: int = RANK,
        dropout: float = 0.0,
        attention_dropout: float | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.intake = Intake(modality_dims, hidden_dim, modality_dropout=modality_dropout)
        heads = checked_heads(num_heads, hidden_dim)
        self.core = AdaptiveResidual(
            len(self.intake.names),
            hidden_dim,
            top_k=top_k,
            num_heads=heads,
            rank=rank,
            dropout=checked_share("dropout", dropout),
            attention_dropout=checked_share(
                "attention_dropout", dropout if attention_dropout is None else attention_dropout
            ),
        )
        self.options = {
            "top_k": top_k, "num_heads": num_heads, "rank": rank, "dropout": dropout,
            "attention_dropout": attention_dropout, "modality_dropout": modality_dropout,
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
        for what in ("gates", "said"):
            metadata[what] = dict(zip(EXPERTS, metadata[what].unbind(1), strict=True))
        return fused, metadata


class AdaptiveResidual(nn.Module):
    """(vectors (B, M, H), quality (B, M)) -> residual (B, H); tells ``gates`` (B, E), ``said`` (B, E, H) and more."""

    def __init__(
        self,
        modalities: int,
        hidden_dim: int,
        *,
        top_k: int | None,
        num_heads: int,
        rank: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.top_k = None if top_k is None else checked_count("top_k", top_k, highest=len(EXPERTS))
        self.experts = nn.ModuleDict(
            {
                "early": EarlyResidual(modalities, hidden_dim, dropout=dropout),
                "late": LateResidual(modalities, hidden_dim, dropout=dropout),
                "hierarchical": HierarchicalResidual(
                    modalities, hidden_dim, num_heads=num_heads, dropout=dropout, attention_dropout=attention_dropout
                ),
                "bilinear": BilinearResidual(modalities, hidden_dim, rank=rank, dropout=dropout),
            }
        )
        self.stand_in = StandIn(modalities, hidden_dim)
        self.hidden = nn.Linear(modalities * (hidden_dim + 1), inner_width(hidden_dim))
        self.gate = zero_linear(self.hidden.out_features, len(EXPERTS))
        together = torch.tensor([name in _TOGETHER for name in EXPERTS])
        self.register_buffer("_together", together, persistent=False)
        self._together: Tensor

    def forward(self, vectors: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Any]]:
        content = self.stand_in(vectors, quality).flatten(1)  # (B, M, H) -> (B, M * H)
        seen = torch.cat([content, quality.to(content.dtype)], 1)  # (B, M * (H + 1))
        logits = self.gate(functional.gelu(self.hidden(seen))).to(quality.dtype)  # (B, E)
        logits = logits + torch.where(self._together, _log_company(quality)[:, None], 0)
        probabilities = torch.softmax(logits, 1)
        gates, chosen = self._choose(logits, probabilities)
        said = torch.stack([self.experts[name](vectors, quality)[0] for name in EXPERTS], 1)  # E of (B, H) -> (B, E, H)
        residual = (gates[..., None].to(said.dtype) * said).sum(1)
        used = (quality > 0).any(1)[:, None].to(gates.dtype)  # samples where all is absent choose nothing
        samples = used.sum().clamp_min(1)
        load = (chosen * used).sum(0) / samples  # (E,)
        importance = (probabilities * used).sum(0) / samples
        return residual, {
            "gates": gates,
            "said": said,
            "entropy": torch.special.entr(gates.detach()).sum(1),
            "load_balance_loss": len(EXPERTS) * (load * importance).sum(),
        }

    def _choose(self, logits: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (B, E), and each sample's choices as shares that sum to 1 (B, E)."""
        if self.top_k is None:
            return probabilities, functional.one_hot(probabilities.argmax(1), len(EXPERTS)).to(probabilities.dtype)
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        best = logits.topk(self.top_k, 1).indices  # (B, k)
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, best, True) & (probabilities > 0)
        gates = torch.softmax(logits.masked_fill(~kept, -torch.inf), 1)
        if self.top_k == 1:  # a lone gate is the constant 1: it gets the gradient of its probability, as in Switch
            gates = gates + kept * (probabilities - probabilities.detach())
        return gates, kept / kept.sum(1, keepdim=True)


def _log_company(quality: Tensor) -> Tensor:
    """(B, M) -> (B,): log(second best / best); -inf where no second is present, also where nothing is."""
    best = functional.pad(quality, (0, 1)).topk(2, 1).values  # at least two columns
    ratio = best[:, 1] / best[:, 0].masked_fill(best[:, 0] == 0, 1)
    return torch.where(ratio > 0, ratio.masked_fill(ratio == 0, 1).log(), -torch.inf)
