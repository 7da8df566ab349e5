"""Sparse attention that saves time: whole blocks of keys are chosen per block of queries, and only those are computed.

Shapes: B batch, H heads, T tokens, d width; n blocks of queries, m blocks of keys, k of these chosen per block of queries.

Exact k-winners-take-all must compute every score before it can drop one, so it saves nothing. Here a block is judged by
its mean alone, as in MoBA (Lu et al. 2025, arXiv:2502.13189): mean of the block's queries times mean of each block's keys;
the k best blocks are gathered and attended densely. T^2 d work becomes T^2 d k / m, in one batch of dense products.

How its winners differ from the exact ones: all queries of a block (`QUERY_BLOCK` tokens) look at the same blocks of keys
(`KEY_BLOCK` tokens); a block is in or out as a whole, so a lone good key among poor ones can be missed and poor ones come
along with good ones. Where neighbours are alike (pictures, sound, running text) it finds most of the mass that the exact
winners hold; where tokens have nothing to do with their neighbours it is little better than chance. `sensorium bench
memory` prints both. Each query keeps `survivors` of the *blocks*, each in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal.attention.core import attend
from multimodal.attention.winners import survivors, winners

KEY_BLOCK = 64
QUERY_BLOCK = 128
"""Larger than `KEY_BLOCK`: what is gathered is then used twice as often; smaller ones cost more copying than they save."""

GATHERED = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Numbers copied at a time: stays in a processor's cache; a GPU wants few, large launches."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Which blocks of keys each block of queries attends to.

    Attributes:
        blocks: int64 (B, H, n, k), distinct in each row.
        surplus: bool (B, H, n, k), True = not attended to, where a sample has fewer blocks than others; None = none.
    """

    blocks: Tensor
    surplus: Tensor | None


def block_sparse_attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    sparse_ratio: float,
    padding: Tensor | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
    chosen: Chosen | None = None,
) -> Tensor:
    """Attended values (B, H, T, dv) of self-attention over the chosen blocks.

    Args:
        query: (B, H, T, d), `key` likewise, `value` (B, H, T, dv), of the same tokens.
        sparse_ratio: share of the blocks of keys left out per query, in [0, 1]; at least one block stays.
        padding: bool (B, T), True = no token; what is written after the last token changes nothing.
        chosen: by `choose`; None = chosen here.
    """
    batch, heads, tokens, width = query.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    if chosen is None:
        chosen = choose(query, key, sparse_ratio=sparse_ratio, padding=padding)
    queries = _blocks(query, QUERY_BLOCK)  # (B, H, n, Q, d)
    keys, values = _blocks(key, KEY_BLOCK), _blocks(value, KEY_BLOCK)  # (B, H, m, K, ..)
    n, m, k = queries.shape[2], keys.shape[2], chosen.blocks.shape[-1]
    ignore = _ignored(chosen, padding, tokens, m)  # (B * H, n, 1, k * K) or None
    queries = queries.flatten(0, 1)  # (B, H, n, Q, d) -> (B * H, n, Q, d)
    keys, values = keys.reshape(-1, KEY_BLOCK * width), values.reshape(-1, KEY_BLOCK * value.shape[-1])  # (B * H * m, K * ..)
    rows = chosen.blocks.flatten(0, 1) + torch.arange(batch * heads, device=key.device)[:, None, None] * m  # (B * H, n, k)
    step = max(1, GATHERED.get(query.device.type, GATHERED["cuda"]) // (n * k * KEY_BLOCK * width))
    attended = []
    for begin in range(0, batch * heads, step):
        part = slice(begin, begin + step)  # of S
        at = rows[part].flatten()  # (S, n, k) -> (S * n * k)
        result, _ = attend(
            queries[part].flatten(0, 1)[:, None],  # (S, n, Q, d) -> (S * n, 1, Q, d)
            keys.index_select(0, at).view(-1, 1, k * KEY_BLOCK, width),  # (S * n * k, K * d) -> (S * n, 1, k * K, d)
            values.index_select(0, at).view(-1, 1, k * KEY_BLOCK, value.shape[-1]),
            ignore=None if ignore is None else ignore[part].flatten(0, 1)[:, None],  # (S, n, 1, ..) -> (S * n, 1, 1, ..)
            dropout=dropout,
            scale=scale,
        )
        attended.append(result)
    whole = torch.cat(attended) if len(attended) > 1 else attended[0]  # (B * H * n, 1, Q, dv)
    return whole.reshape(batch, heads, n * QUERY_BLOCK, -1)[:, :, :tokens]  # -> (B, H, n * Q, dv)


def choose(query: Tensor, key: Tensor, *, sparse_ratio: float, padding: Tensor | None = None) -> Chosen:
    """For each block of queries the `survivors` of the blocks of keys that hold a token, those with the best means."""
    with torch.no_grad():
        present = None if padding is None else ~padding[:, None, :, None]  # (B, T) -> (B, 1, T, 1)
        scores = _means(query, present, QUERY_BLOCK) @ _means(key, present, KEY_BLOCK).mT  # (B, H, n, m)
        most = survivors(scores.shape[-1], sparse_ratio)
        if padding is None:
            return Chosen(scores.topk(most, -1, sorted=False).indices, None)
        empty = _blocks(padding[:, None, :, None], KEY_BLOCK, filler=True).all(3).mT  # (B, 1, m, 1) -> (B, 1, 1, m)
        kept = winners(scores, sparse_ratio, ignore=empty)
        best = kept.to(torch.uint8).topk(most, -1)  # the kept ones first
        return Chosen(best.indices, best.values == 0)


def chosen_ignore(chosen: Chosen, tokens: int) -> Tensor:
    """bool (B, H, T, T), True = this query does not look at this key: the same choice for dense attention."""
    m = -(-tokens // KEY_BLOCK)
    unseen = torch.zeros_like(chosen.blocks, dtype=torch.bool) if chosen.surplus is None else chosen.surplus
    blocks = torch.ones(*chosen.blocks.shape[:-1], m, dtype=torch.bool, device=unseen.device)
    blocks = blocks.scatter(-1, chosen.blocks, unseen)  # (B, H, n, m)
    per_query = blocks.repeat_interleave(QUERY_BLOCK, 2)[:, :, :tokens]  # (B, H, n, m) -> (B, H, T, m)
    return per_query.repeat_interleave(KEY_BLOCK, 3)[..., :tokens]  # -> (B, H, T, T)


def _ignored(chosen: Chosen, padding: Tensor | None, tokens: int, m: int) -> Tensor | None:
    """Of the gathered keys those that are none, (B * H, n, 1, k * K): the end of the last block, padding, surplus blocks."""
    if padding is None and tokens == m * KEY_BLOCK:
        return None
    if padding is None:
        padding = torch.zeros(chosen.blocks.shape[0], tokens, dtype=torch.bool, device=chosen.blocks.device)
    none = _blocks(padding[:, None, :, None], KEY_BLOCK, filler=True)[:, 0, :, :, 0]  # (B, 1, m, K, 1) -> (B, m, K)
    batch, heads, n, k = chosen.blocks.shape
    at = chosen.blocks.reshape(batch, -1, 1).expand(-1, -1, KEY_BLOCK)  # (B, H, n, k) -> (B, H * n * k, K)
    ignore = none.gather(1, at).view(batch, heads, n, k, KEY_BLOCK)
    if chosen.surplus is not None:
        ignore = ignore | chosen.surplus[..., None]
    return ignore.view(batch * heads, n, 1, k * KEY_BLOCK)  # (B, H, n, k, K) -> (B * H, n, 1, k * K)


def _blocks(x: Tensor, size: int, *, filler: bool = False) -> Tensor:
    """(B, H, T, d) -> (B, H, T / size, size, d), the last block filled up."""
    missing = -x.shape[2] % size
    if missing:
        x = torch.cat((x, x.new_full((*x.shape[:2], missing, x.shape[3]), filler)), 2)
    return x.reshape(*x.shape[:2], -1, size, x.shape[3])


def _means(x: Tensor, present: Tensor | None, size: int) -> Tensor:
    """Of each block's tokens, float32 (B, H, blocks, d); zeros for a block without any."""
    if present is None:
        present = torch.ones(1, 1, x.shape[2], 1, dtype=torch.bool, device=x.device)
    total = _blocks(x.float().masked_fill(~present, 0), size).sum(3)
    means: Tensor = total / _blocks(present.float(), size).sum(3).clamp(min=1)
    return means
