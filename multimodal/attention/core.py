"""The one scaled dot-product attention that every attention of this library calls.

Shapes: B batch, H heads, Tq queries, Tk keys, d width of a head's queries and keys, dv of its values.

    attended = normalize(query @ key^T * scale + bias, ignored keys left out) @ value

Two ways compute it. Without weights and with softmax it is torch's fused kernel, which never holds the (Tq, Tk) matrix.
Else `tiled` writes the weights tile by tile into one tensor, so that little beyond the weights themselves is held, in
the backward pass too.

What a query ignores cannot reach it: not its value, not a NaN or an infinity in it, not in a gradient. A query that
ignores every key gets zeros and gives zero gradients; one that does see a NaN gets NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from multimodal.attention.tiled import Normalizer, Plan, normalizer, tiled
from multimodal.errors import InputError


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
    normalize: str | Normalizer = "softmax",
) -> tuple[Tensor, Tensor | None]:
    """Attended values (B, H, Tq, dv), and the weights (B, H, Tq, Tk) or None.

    Args:
        query: (B, H, Tq, d); `key` (B, H, Tk, d), `value` (B, H, Tk, dv), all of one dtype.
        ignore: bool, True = this query may not see this key; broadcastable to (B, H, Tq, Tk).
        bias: float, added to the logits; broadcastable likewise. -inf is an exact mask.
        dropout: of the weights, here and now: the caller passes 0 outside training.
        scale: of the logits; None = 1 / sqrt(d).
        need_weights: also return the weights, as they are before dropout.
        normalize: "softmax", "entmax" (1.5-entmax) or a `Normalizer`; only softmax has a fused kernel.
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if bias is not None:
        never = bias == -torch.inf
        ignore = never if ignore is None else ignore | never
        bias = bias.masked_fill(never, 0).to(query.dtype)
    rows = None
    if ignore is not None:
        key, value, ignore, rows = _shield(key, value, ignore)
    chosen = normalizer(normalize)
    if need_weights or not chosen.fused:
        return tiled(query, key, value, Plan(chosen, scale, dropout, need_weights), ignore=ignore, bias=bias, rows=rows)
    mask = None if ignore is None else ~ignore
    if bias is not None:
        mask = bias if ignore is None else bias.masked_fill(ignore, -torch.inf)
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )  # (B, H, Tq, dv)
    return attended if rows is None else attended * rows, None


def _shield(key: Tensor, value: Tensor, ignore: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keys and values without what is ignored, `ignore` with a key left for every query, and what then is put right.

    The last, (.., Tq | 1, 1), is multiplied to each query's weights: 1, or 0 where it may see no key, or NaN where it
    does see one that is not finite.
    """
    blind = ignore.all(-1, keepdim=True)
    rows = (~blind).to(value.dtype)
    if ignore.shape[-2] == 1:  # the same keys for all queries: those are zeroed, the rest is as it is
        unseen = ignore.transpose(-1, -2)  # (.., 1, Tk) -> (.., Tk, 1)
        return key.masked_fill(unseen, 0), value.masked_fill(unseen, 0), ignore & ~blind, rows
    broken = ~(key.isfinite().all(-1) & value.isfinite().all(-1)).all(1)  # (B, Tk), in any head
    met = (broken[:, None, None] & ~ignore).any(-1, keepdim=True)
    gone = broken[:, None, :, None]  # (B, Tk) -> (B, 1, Tk, 1)
    rows = rows.masked_fill(met, torch.nan)
    return key.masked_fill(gone, 0), value.masked_fill(gone, 0), ignore & ~blind, rows


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, D/H), a view."""
    return x.view(*x.shape[:2], heads, x.shape[-1] // heads).transpose(1, 2)  # (B, T, D) -> (B, T, H, D/H) -> (B, H, T, D/H)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, d) -> (B, T, H * d)."""
    return x.transpose(1, 2).flatten(2)  # (B, H, T, d) -> (B, T, H, d) -> (B, T, H * d)


def batched(x: Tensor, width: int, name: str = "features") -> Tensor:
    """(B, T, `width`) as it is, (T, `width`) as a batch of one; anything else is refused, calling it `name`."""
    if x.dim() not in (2, 3) or x.shape[-1] != width or not x.is_floating_point():
        raise InputError(
            f"{name} is {x.dtype} {tuple(x.shape)}: it must be floating point, (batch, tokens, {width}) or (tokens, {width})"
        )
    return x if x.dim() == 3 else x[None]


def key_ignore(key_padding_mask: Tensor, keys: Tensor) -> Tensor:
    """(B, Tk) or (Tk,) bool, True = ignore, for keys (B, Tk, D) -> (B, 1, 1, Tk)."""
    mask = key_padding_mask if key_padding_mask.dim() == 2 else key_padding_mask[None]
    if mask.dtype != torch.bool or mask.shape != keys.shape[:2]:
        raise InputError(
            f"key_padding_mask is {key_padding_mask.dtype} {tuple(key_padding_mask.shape)}: it must be bool "
            f"{tuple(keys.shape[:2])}, True = ignore"
        )
    return mask[:, None, None]  # (B, Tk) -> (B, 1, 1, Tk)


def clean(x: Tensor, key_padding_mask: Tensor | None) -> Tensor:
    """Tokens (B, T, D) without the NaN and infinities of the ignored ones (B, T), which else reach a projection's
    gradient. Finite values stay."""
    if key_padding_mask is None:
        return x
    return x.masked_fill(key_padding_mask.view(x.shape[:2])[..., None] & ~x.isfinite(), 0)  # mask (B, T) -> (B, T, 1)
