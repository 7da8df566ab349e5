"""One modality attends to another, each head in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.attention.edge import clean, pair, quiet, rate, widths
from multimodal.attention.patterns import Pattern, named
from multimodal.attention.quality import route
from multimodal.errors import ConfigError


class MultiHeadCrossModalAttention(nn.Module):
    """Cross attention with one head per named pattern and a learned gate per head.

    A head's output is scaled by its gate before the heads are mixed (as the head masks of Michel et al. 2019,
    arXiv:1905.10650), so training shows in `gates` which way of looking was of use. Heads of equal pattern that stand
    side by side are computed together.

    Args:
        query_dim: Dq.
        context_dim: Dk.
        hidden_dim: of the output and of all heads together; a multiple of the number of patterns.
        patterns: names of `multimodal.attention.patterns.KINDS`, or `named(name, option=value)`; one head each. "local",
            "strided", "block" and "global" go by the query's place relative to the context's length, see `patterns`.
        dropout: of the weights, in training.
    """

    def __init__(
        self,
        query_dim: int,
        context_dim: int,
        hidden_dim: int,
        patterns: Sequence[str | Pattern] = ("dense", "local", "strided", "top-k"),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(patterns, str) or not patterns:
            raise ConfigError(f"patterns is {patterns!r}: it must be a sequence of at least one name")
        self.query_dim, self.context_dim = query_dim, context_dim
        self.patterns = tuple(named(each) for each in patterns)
        self.hidden_dim, self.num_heads = widths(hidden_dim, len(self.patterns), "hidden_dim")
        self.dropout = rate(dropout, "dropout")
        self.query = nn.Linear(query_dim, hidden_dim)
        self.context = nn.Linear(context_dim, 2 * hidden_dim)
        self.output = nn.Linear(hidden_dim, hidden_dim)
        self.gate = nn.Parameter(torch.zeros(self.num_heads))
        for linear in (self.query, self.context):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.query, self.context, self.output):
            nn.init.zeros_(linear.bias)

    @property
    def gates(self) -> Tensor:
        """(H,), between 0 (the head is off) and 2; 1 before training."""
        return 2 * self.gate.sigmoid()

    def forward(
        self,
        query: Tensor,
        context: Tensor,
        key_padding_mask: Tensor | None = None,
        *,
        attn_mask: Tensor | None = None,
        quality: Tensor | None = None,
        need_weights: bool = True,
        average_attn_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attended (B, Tq, hidden_dim), and the weights before dropout and gate, (B, H, Tq, Tk) with a head per pattern.

        Arguments as in `CrossModalAttention`; without `need_weights` the weights are None and heads that choose no keys
        by their logits use the fused kernel. A query that may see no key in a head gets zeros from it.
        """
        single = query.dim() == 2
        asking, keys = pair(query, context, self.query_dim, self.context_dim)
        shape = (len(keys), self.num_heads, asking.shape[1], keys.shape[1])
        by = route(shape, key_padding_mask=key_padding_mask, attn_mask=attn_mask, quality=quality, single=single)
        asked = split_heads(self.query(asking), self.num_heads)
        key, value = (
            split_heads(x, self.num_heads) for x in self.context(clean(keys, by.unseen)).chunk(2, -1)
        )
        outputs, maps, first = [], [], 0
        for pattern, same in groupby(self.patterns):
            heads = slice(first, first := first + len(tuple(same)))
            hidden = pattern.ignore(shape[2], shape[3], keys.device)
            ignore = _of(by.ignore, heads)
            if hidden is not None:
                ignore = hidden[None, None] if ignore is None else ignore | hidden
            attended, weights = attend(
                asked[:, heads], key[:, heads], value[:, heads], ignore=ignore, bias=_of(by.bias, heads),
                dropout=self.dropout if self.training else 0.0,
                need_weights=need_weights, normalize=pattern.normalize, cleaned=True,
            )
            outputs.append(attended)
            maps.append(weights)
        gated = torch.cat(outputs, 1) * self.gates.to(asked.dtype)[:, None, None]  # (H,) -> (H, 1, 1)
        result = quiet(self.output(merge_heads(gated)), by.ignore)
        if by.share is not None:
            result = result * by.share.to(result.dtype)
        weights = torch.cat([each for each in maps if each is not None], 1) if need_weights else None
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if single:
            return result[0], None if weights is None else weights[0]
        return result, weights

    def extra_repr(self) -> str:
        names = ", ".join(map(repr, self.patterns))
        return f"{self.query_dim}, {self.context_dim}, {self.hidden_dim}, patterns=({names}), dropout={self.dropout}"


def _of(each: Tensor | None, heads: slice) -> Tensor | None:
    """The heads of a mask or bias that may be the same for all."""
    return each if each is None or each.shape[1] == 1 else each[:, heads]
