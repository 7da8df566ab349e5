"""What the public attentions accept: checked shapes, masks in one form, tokens that cannot spoil a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from multimodal.errors import ConfigError, InputError


def batched(x: Tensor, width: int, name: str = "features") -> Tensor:
    """(B, T, `width`) as it is, (T, `width`) as a batch of one; anything else is refused, calling it `name`."""
    if x.dim() not in (2, 3) or x.shape[-1] != width or not x.is_floating_point():
        raise InputError(
            f"{name} is {x.dtype} {tuple(x.shape)}: it must be floating point, (batch, tokens, {width}) or (tokens, {width})"
        )
    return x if x.dim() == 3 else x[None]


def key_ignore(key_padding_mask: Tensor, keys: Tensor) -> Tensor:
    """(B, Tk) or (Tk,) bool, True = ignore, for keys (B, Tk, D) -> (B, 1, 1, Tk)."""
    return _padding(key_padding_mask, keys.shape[0], keys.shape[1])


def pair(query: Tensor, context: Tensor, query_dim: int, context_dim: int) -> tuple[Tensor, Tensor]:
    """Both (B, T, D), or both without a batch, as (B, Tq, Dq) and (B, Tk, Dk) of one B."""
    asking, keys = batched(query, query_dim, "query"), batched(context, context_dim, "context")
    if len(asking) != len(keys) or query.dim() != context.dim():
        raise InputError(f"query {tuple(query.shape)} and context {tuple(context.shape)} must have the same batch")
    return asking, keys


def clean(x: Tensor, ignored: Tensor | None) -> Tensor:
    """Tokens (B, T, D) without the NaN and infinities of those `ignored`, (B, T), (1, T) or (T,) bool.

    Masked attention does not read them, but the gradient of a projection would: 0 * NaN. Finite values stay.
    """
    if ignored is None:
        return x
    return torch.where(ignored[..., None], x.nan_to_num(0.0, 0.0, 0.0), x)


def masks(
    key_padding_mask: Tensor | None, attn_mask: Tensor | None, shape: tuple[int, int, int, int]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """`ignore` and `bias` for `attend` and (B | 1, Tk), which keys no query may see; each None where there is none.

    Args:
        key_padding_mask: bool (B, Tk) or (Tk,), True = ignore.
        attn_mask: bool, True = ignore, or float, added to the logits (-inf is an exact mask); (Tq, Tk), (B, Tq, Tk) or,
            as in torch.nn.MultiheadAttention, (B * H, Tq, Tk), or (B, H, Tq, Tk).
        shape: B, H, Tq, Tk.
    """
    batch, heads, queries, keys = shape
    ignore = bias = unseen = None
    if key_padding_mask is not None:
        ignore = _padding(key_padding_mask, batch, keys)
        unseen = ignore[:, 0, 0]  # (B, 1, 1, Tk) -> (B, Tk)
    if attn_mask is not None:
        allowed = {(queries, keys), (batch, queries, keys), (batch * heads, queries, keys), shape}
        if tuple(attn_mask.shape) not in allowed or not (attn_mask.dtype == torch.bool or attn_mask.is_floating_point()):
            raise InputError(
                f"attn_mask is {attn_mask.dtype} {tuple(attn_mask.shape)}: it must be bool (True = ignore) or floating "
                f"point, of shape {', '.join(map(str, sorted(allowed, key=len)))}"
            )
        if attn_mask.dim() == 3:  # (B * H, Tq, Tk) -> (B, H, Tq, Tk), or (B, Tq, Tk) -> (B, 1, Tq, Tk)
            attn_mask = attn_mask.view(batch, -1, queries, keys)
        attn_mask = attn_mask[(None,) * (4 - attn_mask.dim())]  # (Tq, Tk) -> (1, 1, Tq, Tk)
        never = attn_mask if attn_mask.dtype == torch.bool else attn_mask == -torch.inf
        bias = None if attn_mask.dtype == torch.bool else attn_mask.masked_fill(never, 0)
        ignore = never if ignore is None else ignore | never
        unseen = ignore.all(1).all(1)  # (.., H, Tq, Tk) -> (B | 1, Tk)
    return ignore, bias, unseen


def _padding(mask: Tensor, batch: int, keys: int) -> Tensor:
    if mask.dtype != torch.bool or mask.shape not in ((batch, keys), (keys,)):
        raise InputError(
            f"key_padding_mask is {mask.dtype} {tuple(mask.shape)}: it must be bool ({batch}, {keys}), True = ignore"
        )
    return mask[(None,) * (2 - mask.dim())][:, None, None]  # (B, Tk) -> (B, 1, 1, Tk)


def quiet(result: Tensor, ignore: Tensor | None) -> Tensor:
    """Zeros, (B, Tq, D), for the queries that may see no key in any head; a projection's bias is not their answer."""
    if ignore is None:
        return result
    return result.masked_fill(ignore.all(-1).all(1)[..., None], 0)  # (B, H, Tq, Tk) -> (B, Tq, 1)


def widths(width: int, heads: int, name: str) -> tuple[int, int]:
    """Both, where `heads` heads of equal width make up `width`, called `name`."""
    if width < 1 or heads < 1 or width % heads:
        raise ConfigError(f"{name} is {width} and the number of heads {heads}: it must be a positive multiple of them")
    return width, heads


def rate(value: float, name: str) -> float:
    """In [0, 1)."""
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}: it must be at least 0 and below 1")
    return float(value)
