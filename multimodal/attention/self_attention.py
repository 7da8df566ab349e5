"""Attention within one modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.attention.banded import banded_attend
from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.attention.edge import batched, clean, masks, quiet, rate, widths
from multimodal.attention.patterns import Pattern, named
from multimodal.errors import ConfigError


class SelfAttention(nn.Module):
    """Multi-head attention of tokens among themselves (Vaswani et al. 2017, arXiv:1706.03762), dense or by a pattern.

    One projection makes queries, keys and values; its rows are those of `torch.nn.MultiheadAttention.in_proj_weight`.

    Args:
        embedding_dim: D, of input and output; a multiple of `num_heads`.
        pattern: a name of `multimodal.attention.patterns.KINDS`, or a `Pattern`.
        dropout: of the weights, in training.
        options: the pattern's own: window (local), stride (strided), block (block), tokens (global), k (top-k).
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int = 8,
        pattern: str | Pattern = "dense",
        dropout: float = 0.0,
        **options: int,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.num_heads = widths(embedding_dim, num_heads, "embedding_dim")
        self.pattern = named(pattern, **options)
        self.dropout = rate(dropout, "dropout")
        self.projection = nn.Linear(embedding_dim, 3 * embedding_dim)
        self.output = nn.Linear(embedding_dim, embedding_dim)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.zeros_(self.output.bias)

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention, pattern: str | Pattern = "dense", **options: int) -> SelfAttention:
        """The same attention with a copy of its weights; dense gives its results."""
        if module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
            raise ConfigError("only a MultiheadAttention with equal dims, without add_bias_kv and add_zero_attn, is taken")
        made = cls(module.embed_dim, module.num_heads, pattern, module.dropout, **options)
        made.to(module.in_proj_weight)
        with torch.no_grad():
            made.projection.weight.copy_(module.in_proj_weight)
            made.output.weight.copy_(module.out_proj.weight)
            if module.in_proj_bias is not None:
                made.projection.bias.copy_(module.in_proj_bias)
                made.output.bias.copy_(module.out_proj.bias)
        return made.train(module.training)

    def forward(
        self,
        features: Tensor,
        key_padding_mask: Tensor | None = None,
        *,
        attn_mask: Tensor | None = None,
        need_weights: bool = True,
        average_attn_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attended features, shaped as given, and the weights before dropout, (B, H, T, T).

        Args:
            features: (B, T, D), or (T, D); the results then lack B too.
            key_padding_mask: bool (B, T), True = ignore; a NaN there does no harm. A token that may see none gets zeros.
            attn_mask: see `multimodal.attention.edge.masks`; what the pattern hides stays hidden.
            need_weights: False gives None for the weights and, except for top-k and entmax, uses the fused kernel,
                which is faster and holds no (T, T) matrix; local and block attention then cost what they see.
            average_attn_weights: weights (B, T, T), the mean of the heads.

        Raises:
            InputError: a shape or type is wrong.
        """
        tokens = batched(features, self.embedding_dim)
        batch, length, _ = tokens.shape
        ignore, bias, unseen = masks(key_padding_mask, attn_mask, (batch, self.num_heads, length, length))
        query, key, value = (split_heads(x, self.num_heads) for x in self.projection(clean(tokens, unseen)).chunk(3, -1))
        dropout = self.dropout if self.training else 0.0
        band = self.pattern.band
        if band and not need_weights and attn_mask is None and 2 * (band[0] + 2 * band[1]) <= length:
            attended, blind = banded_attend(
                query, key, value, block=band[0], halo=band[1], padding=ignore, dropout=dropout
            )
            result: Tensor = self.output(merge_heads(attended))
            result = result if blind is None else result.masked_fill(blind[..., None], 0)
            return result[0] if features.dim() == 2 else result, None
        hidden = self.pattern.ignore(length, length, tokens.device)
        if hidden is not None:
            ignore = hidden[None, None] if ignore is None else ignore | hidden
        attended, weights = attend(
            query, key, value, ignore=ignore, bias=bias, dropout=dropout,
            need_weights=need_weights, average=average_attn_weights, normalize=self.pattern.normalize, cleaned=True,
        )
        result = quiet(self.output(merge_heads(attended)), ignore)
        if features.dim() == 2:
            return result[0], None if weights is None else weights[0]
        return result, weights

    def extra_repr(self) -> str:
        return f"{self.embedding_dim}, num_heads={self.num_heads}, pattern={self.pattern}, dropout={self.dropout}"
