"""Hierarchical fusion: tokens to modalities, modalities to pairs, pairs to the whole, each step routed by attention.

Shapes: B batch, M modalities, P = M (M + 1) / 2 pairs, H hidden_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.errors import ConfigError
from multimodal.fusion.checks import checked_count, checked_share
from multimodal.fusion.intake import Intake
from multimodal.fusion.residual import around_mean, zero_linear
from multimodal.fusion.stand_in import StandIn, inner_width
from multimodal.fusion.tokens import TokenPool


class HierarchicalFusion(nn.Module):
    """Attention pooling at three levels, masked at each.

    1. Tokens: a learned query per modality attends to that modality's tokens (`TokenPool`); padding is ignored.
    2. Pairs: the two of a pair attend to each other and an MLP reads both; a modality alone is the pair with itself.
       Quality enters as log b on the logits, b = q^e as in `StandIn`: 0 is an exact mask, 1 changes nothing.
    3. The whole: a learned query attends to all pairs, a pair (a, b) with log min(b_a, b_b) on its logit, and to the
       learned vector that stands for each absent modality, with log(1 - b).

    The last layer starts at zero: untrained, the result is the mean of the projected modalities weighted by quality (of
    tokens, their masked mean). ``contributions`` mix each modality's share in the mean with its effect on the residual,
    measured by leaving it out (`residual.around_mean`). Metadata also has ``routing`` by pair ``a|b`` (a alone: ``a``)
    and by ``absent:a``, each (B,), summing to 1; ``token_attention`` by name, (B, T).

    Args:
        modality_dims: dimension of each modality by name.
        hidden_dim: H, of the result.
        num_heads: of every attention; divides H. The most, up to 8, with at least 16 numbers each where None.
        dropout: of the MLP over each pair, in training.
        attention_dropout: of every attention, in training; `dropout` where None.
        modality_dropout: in training, probability that a present modality is taken for absent (never the last one).
    """

    def __init__(
        self,
        modality_dims: Mapping[str, int],
        hidden_dim: int = 512,
        *,
        num_heads: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.intake = Intake(modality_dims, hidden_dim, modality_dropout=modality_dropout)
        heads = checked_heads(num_heads, hidden_dim)
        count = len(self.intake.names)
        of_attention = checked_share("attention_dropout", dropout if attention_dropout is None else attention_dropout)
        self.pool = TokenPool(count, hidden_dim, num_heads=heads, dropout=of_attention)
        self.core = HierarchicalResidual(
            count, hidden_dim, num_heads=heads, dropout=dropout, attention_dropout=of_attention
        )
        self.options = {
            "num_heads": num_heads, "dropout": dropout, "attention_dropout": attention_dropout,
            "modality_dropout": modality_dropout,
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
        seen, maps = self.pool(taken, self.intake)
        fused, metadata = around_mean(taken, self.core, seen=seen, measure=not self.training)
        pairs = [taken.names[a] if a == b else f"{taken.names[a]}|{taken.names[b]}" for a, b in self.core.pairs]
        routes = [*pairs, *(f"absent:{name}" for name in taken.names)]
        metadata["routing"] = dict(zip(routes, metadata["routing"].unbind(1), strict=True))
        return fused, {**metadata, "token_attention": maps}


class HierarchicalResidual(nn.Module):
    """(vectors (B, M, H), quality (B, M)) -> residual (B, H); tells ``routing`` (B, P + M).

    It works in the width W of at most 128 (`inner_width`), a multiple of the heads.
    """

    def __init__(
        self, modalities: int, hidden_dim: int, *, num_heads: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads, self.attention_dropout = num_heads, attention_dropout
        self.pairs = list(combinations_with_replacement(range(modalities), 2))
        self.register_buffer("members", torch.tensor(self.pairs), persistent=False)  # (P, 2)
        self.members: Tensor
        strangers = ~torch.eye(modalities, dtype=torch.bool)[self.members].any(1)  # (P, 2, M) -> (P, M)
        self.register_buffer("strangers", strangers.repeat_interleave(2, 0), persistent=False)  # (2 * P, M)
        self.strangers: Tensor
        self.stand_in = StandIn(modalities, hidden_dim)
        width = max(inner_width(hidden_dim) // num_heads, 1) * num_heads
        self.enter = nn.Identity() if width == hidden_dim else nn.Linear(hidden_dim, width, bias=False)
        self.place = nn.Parameter(torch.randn(modalities, width) / math.sqrt(width))
        self.query_key_value = nn.Linear(width, 3 * width)
        self.read = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Dropout(checked_share("dropout", dropout)),
            nn.Linear(width, width),
        )
        self.query = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.key_value = nn.Linear(width, 2 * width)
        self.hidden = nn.Linear(width, width)
        self.out = zero_linear(width, hidden_dim)

    def forward(self, vectors: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Any]]:
        believed = self.stand_in.believed(quality)
        worth = believed.clamp_min(torch.finfo(quality.dtype).tiny).log()  # (B, M)
        pairs = self._meet(vectors, quality, worth)
        absent = self.enter(self.stand_in.absent).to(pairs.dtype).expand(len(vectors), -1, -1)  # (M, H) -> (B, M, W)
        candidates = torch.cat([pairs, absent], 1)  # (B, P + M, W)
        lack = (1 - believed).clamp_min(torch.finfo(quality.dtype).tiny).log()
        bias = torch.cat([worth[:, self.members].amin(-1), lack], 1)  # (B, P + M)
        ignore = torch.cat([(quality[:, self.members] == 0).any(-1), believed == 1], 1)
        key, value = self.key_value(candidates).chunk(2, -1)
        query = self.query.to(key.dtype).expand(len(vectors), 1, -1)  # (W,) -> (B, 1, W)
        whole, weights = self._attend(
            query, key, value, ignore=ignore[:, None, None], bias=bias[:, None, None], need_weights=True
        )
        residual = self.out(functional.gelu(self.hidden(whole)))[:, 0]  # (B, 1, W) -> (B, H)
        return residual, {"routing": None if weights is None else weights.mean(1)[:, 0]}

    def _meet(self, vectors: Tensor, quality: Tensor, worth: Tensor) -> Tensor:
        """(B, M, H) -> (B, P, W): each pair as its two members see each other.

        One attention for all pairs: 2 P queries over M keys, each query allowed the two members of its pair.
        """
        x = self.enter(self.stand_in.norm(vectors)) + self.place
        query, key, value = self.query_key_value(x).chunk(3, -1)  # each (B, M, W)
        asking = self.members.flatten()  # (P, 2) -> (2 * P,)
        absent = (quality == 0)[:, None, None]  # (B, M) -> (B, 1, 1, M)
        met, _ = self._attend(query[:, asking], key, value, ignore=absent | self.strangers, bias=worth[:, None, None])
        both = (x[:, asking] + met).unflatten(1, self.members.shape).flatten(2)  # (B, 2 * P, W) -> (B, P, 2 * W)
        read: Tensor = self.read(both)
        return read

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, ignore: Tensor, bias: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Multi-head; `ignore` and `bias` broadcastable to (B, heads, Tq, Tk)."""
        found, weights = attend(
            split_heads(query, self.heads),
            split_heads(key, self.heads),
            split_heads(value, self.heads),
            ignore=ignore,
            bias=bias,
            dropout=self.attention_dropout if self.training else 0.0,
            need_weights=need_weights,
        )
        return merge_heads(found), weights


def checked_heads(num_heads: int | None, hidden_dim: int) -> int:
    """
    Raises:
        ConfigError: `num_heads` does not divide `hidden_dim`.
    """
    if num_heads is None:
        return next(
            heads for heads in (8, 4, 2, 1) if heads == 1 or (hidden_dim % heads == 0 and hidden_dim >= 16 * heads)
        )
    if hidden_dim % checked_count("num_heads", num_heads):
        raise ConfigError(f"num_heads is {num_heads}, expected a divisor of hidden_dim {hidden_dim}")
    return num_heads
