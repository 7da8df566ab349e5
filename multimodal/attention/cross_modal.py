"""One modality attends to another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.attention.edge import batched, clean, pair, quiet, rate, widths
from multimodal.attention.quality import route
from multimodal.errors import ConfigError, InputError


class CrossModalAttention(nn.Module):
    """Multi-head attention of a query's tokens to a context's, routed by the context's measured quality.

    Args:
        query_dim: Dq.
        context_dim: Dk, of the context.
        hidden_dim: of the output and of all heads together; a multiple of `num_heads`.
        dropout: of the weights, in training.
        value_dim: Dv, where the values come from another sequence than the keys; None = they come from the context.
    """

    def __init__(
        self,
        query_dim: int,
        context_dim: int,
        hidden_dim: int,
        num_heads: int = 8,
        dropout: float = 0.0,
        *,
        value_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.query_dim, self.context_dim, self.value_dim = query_dim, context_dim, value_dim
        self.hidden_dim, self.num_heads = widths(hidden_dim, num_heads, "hidden_dim")
        self.dropout = rate(dropout, "dropout")
        self.query = nn.Linear(query_dim, hidden_dim)
        self.key = nn.Linear(context_dim, hidden_dim)
        self.value = nn.Linear(context_dim if value_dim is None else value_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, hidden_dim)
        for linear in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.zeros_(linear.bias)

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> CrossModalAttention:
        """The same attention, `kdim` and `vdim` included, with a copy of its weights.

        Where `vdim` differs from `kdim`, the values are a sequence of their own: pass `values`.
        """
        if module.bias_k is not None or module.add_zero_attn:
            raise ConfigError("a MultiheadAttention with add_bias_kv or add_zero_attn is not taken")
        width, other = module.embed_dim, None if module.vdim == module.kdim else module.vdim
        made = cls(width, module.kdim, width, module.num_heads, module.dropout, value_dim=other)
        made.to(module.out_proj.weight)
        with torch.no_grad():
            if module.in_proj_weight is None:
                weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
            else:
                weights = module.in_proj_weight.chunk(3)
            for number, linear in enumerate((made.query, made.key, made.value)):
                linear.weight.copy_(weights[number])
                if module.in_proj_bias is not None:
                    linear.bias.copy_(module.in_proj_bias.chunk(3)[number])
            made.output.weight.copy_(module.out_proj.weight)
            if module.out_proj.bias is not None:
                made.output.bias.copy_(module.out_proj.bias)
        return made.train(module.training)

    def forward(
        self,
        query: Tensor,
        context: Tensor,
        key_padding_mask: Tensor | None = None,
        *,
        attn_mask: Tensor | None = None,
        quality: Tensor | None = None,
        values: Tensor | None = None,
        need_weights: bool = False,
        average_attn_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attended (B, Tq, hidden_dim); with `need_weights` also the weights before dropout, (B, H, Tq, Tk), else None.

        Args:
            query: (B, Tq, Dq); or (Tq, Dq) with a context (Tk, Dk): then all else and the results lack B too.
            context: (B, Tk, Dk).
            key_padding_mask: bool (B, Tk), True = ignore; a NaN there does no harm. A query that may see no key gets
                zeros.
            attn_mask: see `multimodal.attention.edge.masks`.
            quality: in [0, 1], of each key (B, Tk) or of each sample (B,), see `multimodal.attention.quality.route`;
                differentiable.
            values: (B, Tk, Dv), where the module has a `value_dim`.
            average_attn_weights: weights (B, Tq, Tk), the mean of the heads.

        Raises:
            InputError: a shape, a type or a quality is wrong.
        """
        single = query.dim() == 2
        asking, keys = pair(query, context, self.query_dim, self.context_dim)
        by = route(
            (len(keys), self.num_heads, asking.shape[1], keys.shape[1]),
            key_padding_mask=key_padding_mask, attn_mask=attn_mask, quality=quality, single=single,
        )
        keys = clean(keys, by.unseen)
        attended, weights = attend(
            split_heads(self.query(asking), self.num_heads),
            split_heads(self.key(keys), self.num_heads),
            split_heads(self.value(self._values(values, keys, by.unseen)), self.num_heads),
            ignore=by.ignore,
            bias=by.bias,
            dropout=self.dropout if self.training else 0.0,
            need_weights=need_weights,
            average=average_attn_weights,
            cleaned=True,
        )
        result = quiet(self.output(merge_heads(attended)), by.ignore)
        if by.share is not None:
            result = result * by.share.to(result.dtype)
        if single:
            return result[0], None if weights is None else weights[0]
        return result, weights

    def _values(self, values: Tensor | None, keys: Tensor, unseen: Tensor | None) -> Tensor:
        if self.value_dim is None:
            if values is not None:
                raise InputError("values were given to a module without value_dim: its values come from the context")
            return keys
        if values is None:
            raise InputError(f"this module takes its values apart from its keys: pass values (B, Tk, {self.value_dim})")
        own = batched(values, self.value_dim, "values")
        if own.shape[:2] != keys.shape[:2]:
            raise InputError(f"values {tuple(own.shape)} and context {tuple(keys.shape)} must have the same tokens")
        return clean(own, unseen)

    def extra_repr(self) -> str:
        return f"{self.query_dim}, {self.context_dim}, {self.hidden_dim}, num_heads={self.num_heads}, dropout={self.dropout}"
