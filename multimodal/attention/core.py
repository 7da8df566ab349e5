"""The one scaled dot-product attention that every attention of this library calls.

Shapes: B batch, H heads, Tq queries, Tk keys, d width of a head's queries and keys, dv of its values.

    attended = normalize(query @ key^T * scale + bias, ignored keys left out) @ value

Two ways compute it. Without weights and with softmax it is torch's fused kernel, which never holds the (Tq, Tk) matrix
(and has no gradient for a bias: one that needs it goes the other way). Else `tiled` writes the weights tile by tile into
one tensor, so that little beyond the weights themselves is held, in the backward pass too.

What a query ignores cannot reach it: not its value, not a NaN or an infinity in it, not in a gradient. A query that
ignores every key gets zeros and gives zero gradients; one that does see a NaN gets NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from multimodal.attention.edge import batched, clean, key_ignore
from multimodal.attention.tiled import Normalizer, Plan, normalizer, tiled

__all__ = ["attend", "batched", "clean", "key_ignore", "merge_heads", "split_heads"]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    ignore: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
    need_weights: bool = False,
    average: bool = False,
    normalize: str | Normalizer = "softmax",
    cleaned: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attended values (B, H, Tq, dv), and the weights (B, H, Tq, Tk) or None.

    Args:
        query: (B, H, Tq, d); `key` (B, H, Tk, d), `value` (B, H, Tk, dv), all of one dtype.
        ignore: bool, True = this query may not see this key; broadcastable to (B, H, Tq, Tk).
        bias: float, added to the logits; broadcastable likewise. -inf is an exact mask.
        dropout: of the weights, here and now: the caller passes 0 outside training.
        scale: of the logits; None = 1 / sqrt(d).
        need_weights: also return the weights, as they are before dropout.
        average: return their mean over the heads, (B, Tq, Tk).
        normalize: "softmax", "entmax" (1.5-entmax) or a `Normalizer`; only softmax has a fused kernel.
        cleaned: the caller vouches that what all queries ignore is finite (see `clean`): that pass is saved.
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if bias is not None:
        never = bias == -torch.inf
        ignore = never if ignore is None else ignore | never
        bias = bias.masked_fill(never, 0)
        if bias.dtype != query.dtype:  # what is finite stays so: a row of nothing but -inf would be NaN
            bias = bias.clamp(min=max(torch.finfo(kind).min for kind in (bias.dtype, query.dtype))).to(query.dtype)
    rows = seen = None
    if ignore is not None:
        ignore = ignore[(None,) * (4 - ignore.dim())]  # (.., Tk) -> (.., .., .., Tk)
        if not cleaned or ignore.shape[-2] > 1:
            key, value, seen = _shield(key, value, ignore)
        blind = ignore.all(-1, keepdim=True)
        rows = (~blind).to(value.dtype)  # multiplied to each query's weights: 0 where it may see no key
        if seen is not None:
            rows = rows.masked_fill(seen, torch.nan)
        ignore = ignore & ~blind
    chosen = normalizer(normalize)
    if need_weights or not chosen.fused or (bias is not None and bias.requires_grad):
        plan = Plan(chosen, scale, dropout, need_weights, average)
        return tiled(query, key, value, plan, ignore=ignore, bias=bias, rows=rows)
    mask = None if ignore is None else ~ignore
    if bias is not None:
        mask = bias if ignore is None else bias.masked_fill(ignore, -torch.inf)
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )  # (B, H, Tq, dv)
    return attended if rows is None else attended * rows, None


def _shield(key: Tensor, value: Tensor, ignore: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values without what is ignored, and, where queries ignore different keys, (B, 1, Tq, 1): which of them
    do see a key or value that is not finite."""
    if ignore.shape[-2] == 1:  # the same keys for all queries
        gone = ignore.transpose(-1, -2)  # (.., 1, Tk) -> (.., Tk, 1)
        return key.masked_fill(gone, 0), value.masked_fill(gone, 0), None
    broken = ~(key.isfinite().all(-1) & value.isfinite().all(-1)).all(1)[:, None, None]  # in any head, (B, 1, 1, Tk)
    gone = broken.transpose(-1, -2)  # (B, 1, 1, Tk) -> (B, 1, Tk, 1)
    return key.masked_fill(gone, 0), value.masked_fill(gone, 0), (broken & ~ignore).any(-1, keepdim=True)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, D/H), a view."""
    return x.view(*x.shape[:2], heads, x.shape[-1] // heads).transpose(1, 2)  # (B, T, D) -> (B, T, H, D/H) -> (B, H, T, D/H)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, d) -> (B, T, H * d)."""
    return x.transpose(1, 2).flatten(2)  # (B, H, T, d) -> (B, T, H, d) -> (B, T, H * d)
