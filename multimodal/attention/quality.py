"""Routing by quality: how far a source may be trusted, in [0, 1], enters attention."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from multimodal.attention.edge import masks
from multimodal.errors import InputError


class Route(NamedTuple):
    """What `attend` and its caller need of masks and quality; each None where there is none."""

    ignore: Tensor | None
    """Broadcastable to (B, H, Tq, Tk), True = ignore."""
    bias: Tensor | None
    """Likewise, added to the logits."""
    unseen: Tensor | None
    """(B | 1, Tk), keys that no query may see."""
    share: Tensor | None
    """(B, 1, 1), multiplied to the output."""


def route(
    shape: tuple[int, int, int, int],
    *,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    quality: Tensor | None,
    single: bool,
) -> Route:
    """Of (B, H, Tq, Tk) = `shape`, the masks as in `masks`, and quality.

    Quality of each key, (B, Tk): weights are proportional to q * exp(logit), so that 0 is an exact mask and a key of
    quality 1 counts as it does without. Of each sample, (B,): it scales the output, since a value added to every logit
    of a row changes nothing. Without a batch (`single`): (Tk,) and ().

    Raises:
        InputError: another shape, or a quality outside [0, 1].
    """
    ignore, bias, unseen = masks(key_padding_mask, attn_mask, shape)
    if quality is None:
        return Route(ignore, bias, unseen, None)
    each = _checked(quality, shape[0], shape[-1], single=single)
    if each.dim() == 1:
        return Route(ignore, bias, unseen, each[:, None, None])  # (B,) -> (B, 1, 1)
    each = each[:, None, None]  # (B, Tk) -> (B, 1, 1, Tk)
    never = each == 0
    trust = each.masked_fill(never, 1).log()
    return Route(
        ignore=never if ignore is None else ignore | never,
        bias=trust if bias is None else bias + trust,
        unseen=never[:, 0, 0] if unseen is None else unseen | never[:, 0, 0],
        share=None,
    )


def _checked(quality: Tensor, batch: int, keys: int, *, single: bool) -> Tensor:
    each = quality[None] if single else quality
    if each.shape not in ((batch, keys), (batch,)) or not each.is_floating_point():
        shapes = f"({keys},) per key or () per sample" if single else f"({batch}, {keys}) per key or ({batch},) per sample"
        raise InputError(f"quality is {quality.dtype} {tuple(quality.shape)}: it must be floating point, {shapes}")
    if not torch.compiler.is_compiling() and not bool(((each >= 0) & (each <= 1)).all()):
        raise InputError("quality has values outside [0, 1] or NaN: 0 is unusable, 1 is perfect")
    return each
