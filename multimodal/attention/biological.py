"""Attention with three traits of nervous tissue: few winners, settling, and synapses that change while they are used.

Shapes: B batch, T tokens, D features, H heads, d = D / H.

- Inhibition: a query keeps exactly max(1, ceil((1 - sparse_ratio) * valid keys)) keys (`winners`); with `blocks` whole
  blocks of keys instead, which saves time (`block_sparse`).
- Settling: `recurrent_steps` - 1 Hopfield steps in key space before the values are read, once (`hopfield`).
- Plasticity: a memory per stream, read by the settled queries and then written with this call's keys and values
  (`fast_weights`). What is said of a token thus depends on the calls before, never on its neighbours' order.

With sparse_ratio 0, one step and plasticity 0 it is `SelfAttention`, and takes its state dict.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.attention import block_sparse, fast_weights
from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.attention.edge import batched, clean, key_ignore, quiet, rate, widths
from multimodal.attention.hopfield import refine
from multimodal.attention.winners import WinnersTakeAll, winners
from multimodal.errors import ConfigError, InputError


class BiologicalAttention(nn.Module):
    """See the module.

    Args:
        embedding_dim: D, a multiple of `num_heads`.
        sparse_ratio: share of the keys left out per query, in [0, 1]; 0 is plain attention.
        recurrent_steps: from 1, which is plain attention; each further one costs one more attention.
        plasticity: rate in [0, 1] at which associations are written; 0 is no memory.
        dropout: of the weights, in training.
        step_size: g in (0, 1] of each Hopfield step; 1 goes all the way.
        decay: in [1/2, 1), what is left of the memory after each further token; 0.99 halves in 69 tokens.
        blocks: choose whole blocks of keys per block of queries.
    """

    def __init__(  # noqa: PLR0917 - these positions are promised
        self,
        embedding_dim: int,
        num_heads: int = 8,
        sparse_ratio: float = 0.7,
        recurrent_steps: int = 2,
        plasticity: float = 0.0,
        dropout: float = 0.0,
        *,
        step_size: float = 1.0,
        decay: float = 0.99,
        blocks: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.num_heads = widths(embedding_dim, num_heads, "embedding_dim")
        if recurrent_steps < 1:
            raise ConfigError(f"recurrent_steps is {recurrent_steps}: it must be at least 1, which is plain attention")
        _within("sparse_ratio", sparse_ratio, 0 <= sparse_ratio <= 1, "in [0, 1]")
        _within("plasticity", plasticity, 0 <= plasticity <= 1, "in [0, 1]")
        _within("step_size", step_size, 0 < step_size <= 1, "in (0, 1]")
        _within("decay", decay, 0.5 <= decay < 1, "in [1/2, 1): at 1 the memory would have no bound")
        self.sparse_ratio, self.recurrent_steps, self.plasticity = sparse_ratio, recurrent_steps, plasticity
        self.dropout, self.step_size, self.decay, self.blocks = rate(dropout, "dropout"), step_size, decay, blocks
        self.projection = nn.Linear(embedding_dim, 3 * embedding_dim)  # of queries, keys, values, as in SelfAttention
        self.output = nn.Linear(embedding_dim, embedding_dim)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.zeros_(self.output.bias)
        self.memory_gain = nn.Parameter(torch.ones(num_heads, 1, 1)) if plasticity else None

    def forward(
        self,
        features: Tensor,
        memory: Tensor | None = None,
        *,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        average_attn_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Attended (B, T, D), weights (B, H, T, T) or None, and the memory for this stream's next call.

        Args:
            features: (B, T, D) or (T, D); the results have a batch dimension where this has one.
            memory: float32 (B, H, d, d) as the last call returned it, None at first. Without plasticity it is neither read
                nor changed. It carries gradients: `detach` it between calls that are trained one by one.
            key_padding_mask: bool (B, T), True = no token: not attended to, not remembered.
            average_attn_weights: mean over the heads, (B, T, T).
        """
        tokens = batched(features, self.embedding_dim)
        ignore = padding = None
        if key_padding_mask is not None:
            ignore = key_ignore(key_padding_mask, tokens).expand(tokens.shape[0], -1, -1, -1)
            padding = ignore[:, 0, 0]  # (B, 1, 1, T) -> (B, T)
        query, key, value = (split_heads(x, self.num_heads) for x in self.projection(clean(tokens, padding)).chunk(3, -1))
        query = refine(
            query, lambda z: self._attend(z, key, key, ignore)[0], steps=self.recurrent_steps - 1, rate=self.step_size
        )
        attended, weights = self._attend(query, key, value, ignore, final=True, need_weights=need_weights)
        if self.memory_gain is not None:
            memory = self._state(memory, tokens.shape[0], tokens.device)
            attended = attended + self.memory_gain * fast_weights.read(memory, query)
            memory = fast_weights.write(
                memory, key, value, rate=self.plasticity, decay=self.decay, ignore=padding
            )
        result = quiet(self.output(merge_heads(attended)), ignore)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if features.dim() == 2:
            return result[0], None if weights is None else weights[0], memory
        return result, weights, memory

    def memory_bound(self) -> float:
        """No head's memory is ever longer than this (Frobenius), if it began at None."""
        return fast_weights.bound(self.plasticity, self.decay, self.embedding_dim // self.num_heads)

    def extra_repr(self) -> str:
        return (
            f"{self.embedding_dim}, num_heads={self.num_heads}, sparse_ratio={self.sparse_ratio}, "
            f"recurrent_steps={self.recurrent_steps}, plasticity={self.plasticity}, blocks={self.blocks}"
        )

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        ignore: Tensor | None,
        *,
        final: bool = False,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training and final else 0.0
        if not self.sparse_ratio or not query.numel():
            return attend(query, key, value, ignore=ignore, dropout=dropout, need_weights=need_weights)
        if self.blocks:
            padding = None if ignore is None else ignore[:, 0, 0]  # (B, 1, 1, T) -> (B, T)
            chosen = block_sparse.choose(query, key, sparse_ratio=self.sparse_ratio, padding=padding)
            if not need_weights:
                return block_sparse.block_sparse_attend(
                    query, key, value, sparse_ratio=self.sparse_ratio, padding=padding, dropout=dropout, chosen=chosen
                ), None
            unchosen = block_sparse.chosen_ignore(chosen, query.shape[2])
            ignore = unchosen if ignore is None else unchosen | ignore
            return attend(query, key, value, ignore=ignore, dropout=dropout, need_weights=True)
        return attend_winners(
            query, key, value, sparse_ratio=self.sparse_ratio, ignore=ignore, dropout=dropout, need_weights=need_weights
        )

    def _state(self, memory: Tensor | None, batch: int, device: torch.device) -> Tensor:
        width = self.embedding_dim // self.num_heads
        shape = (batch, self.num_heads, width, width)
        if memory is None:
            return torch.zeros(shape, device=device)
        if memory.shape != shape or memory.dtype != torch.float32:
            raise InputError(
                f"memory is {memory.dtype} {tuple(memory.shape)}: it must be float32 {shape}, as returned for this batch"
            )
        return memory


def attend_winners(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    sparse_ratio: float,
    ignore: Tensor | None = None,
    dropout: float = 0.0,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`attend` over each query's winners among the keys that it may see."""
    if not torch.compiler.is_compiling():
        rule = WinnersTakeAll(sparse_ratio, masked=ignore is not None)
        return attend(query, key, value, ignore=ignore, dropout=dropout, need_weights=need_weights, normalize=rule)
    # The compiler cannot look into tiles.
    scores = query @ key.mT if ignore is None else query @ key.masked_fill(ignore.mT, 0).mT
    losers = ~winners(scores, sparse_ratio, ignore=ignore)
    return attend(query, key, value, ignore=losers, dropout=dropout, need_weights=need_weights)


def _within(name: str, value: float, good: bool, right: str) -> None:
    if not good:
        raise ConfigError(f"{name} is {value}: it must be {right}")
