"""Attention pooling of the tokens of each modality. Shapes: B batch, M modalities, T tokens, H hidden_dim."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.fusion.intake import Intake, Taken
from multimodal.fusion.stand_in import EPSILON


class TokenPool(nn.Module):
    """A modality's vector = the masked mean of its tokens + what a learned query finds in them.

    A modality that came as one vector stays as it is.

    Args:
        modalities: M.
        hidden_dim: H.
        num_heads: of the attention; divides H.
    """

    def __init__(self, modalities: int, hidden_dim: int, *, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = num_heads, dropout
        self.query = nn.Parameter(torch.randn(modalities, hidden_dim) / math.sqrt(hidden_dim))
        self.key_value = nn.Linear(hidden_dim, 2 * hidden_dim)
        self.out = nn.Linear(hidden_dim, hidden_dim, bias=False)

    def forward(self, taken: Taken, intake: Intake) -> tuple[Tensor, dict[str, Tensor]]:
        """Vectors (B, M, H), and by name where in the tokens they come from, (B, T), which sums to 1 where present."""
        rows, maps = list(taken.vectors.unbind(1)), {}
        for m, name in enumerate(taken.names):
            if name not in taken.tokens:
                continue
            tokens = intake.projections[name](taken.tokens[name])  # (B, T, D) -> (B, T, H)
            normed = functional.rms_norm(tokens, tokens.shape[-1:], eps=EPSILON)
            key, value = self.key_value(normed).chunk(2, -1)
            key, value = split_heads(key, self.heads), split_heads(value, self.heads)  # (B, heads, T, H / heads)
            query = self.query[m].to(key.dtype).expand(len(tokens), 1, -1)  # (H,) -> (B, 1, H)
            ignore = taken.ignore[name] | (taken.quality[:, m] == 0)[:, None]
            found, weights = attend(
                split_heads(query, self.heads),
                key,
                value,
                ignore=ignore[:, None, None],  # (B, T) -> (B, 1, 1, T)
                dropout=self.dropout if self.training else 0.0,
                need_weights=True,
            )
            rows[m] = rows[m] + self.out(merge_heads(found))[:, 0].to(rows[m].dtype)  # (B, 1, H) -> (B, H)
            if weights is not None:
                maps[name] = weights.mean(1)[:, 0]  # (B, heads, 1, T) -> (B, T)
        return torch.stack(rows, 1), maps
