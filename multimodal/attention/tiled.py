"""Attention that returns its weights, or that has no fused kernel: tile by tile, forward and backward.

A tile is a block of whole rows of the (B, H, Tq, Tk) weights, small enough for the cache. Only the weights are kept; the
logits, their gradient and the dropped weights live for one tile. Half precision is computed in float32 inside a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from multimodal.attention.entmax import solve
from multimodal.errors import ConfigError

TILE = {"cpu": 1 << 18, "cuda": 1 << 25}
"""Weights in one tile: 1 MiB of float32 stays in a core's cache; a GPU wants few, large launches."""


class Normalizer(Protocol):
    """Makes weights of logits, row by row.

    Their Jacobian must be diag(s) - s s^T / sum(s) with s = `slope(weights)`. That is so for softmax with s = p, also
    over a chosen subset of keys, and for 1.5-entmax with s = sqrt(p) (Peters et al. 2019, arXiv:1905.05702).
    """

    @property
    def fused(self) -> bool:
        """Whether it is plain softmax, which torch's fused kernel computes."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (..., Tk), which it may overwrite, to weights that sum to 1; -inf must give exactly 0. Each row has a
        finite logit."""

    def slope(self, weights: Tensor) -> Tensor:
        """See above."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """Plain softmax over the `top` largest logits of each row, or over all; of equal ones the first keys count."""

    top: int | None = None

    @property
    def fused(self) -> bool:
        return self.top is None

    def __call__(self, logits: Tensor) -> Tensor:
        if self.top is None or self.top >= logits.shape[-1]:
            return torch.softmax(logits, -1, out=logits)
        border = logits.topk(self.top, -1, sorted=False).values.amin(-1, keepdim=True)
        above, level = logits > border, logits == border
        room = self.top - above.sum(-1, keepdim=True, dtype=torch.int32)  # for those equal to the border
        logits.masked_fill_(~(above | (level & (level.cumsum(-1, dtype=torch.int32) <= room))), -torch.inf)
        return torch.softmax(logits, -1, out=logits)

    def slope(self, weights: Tensor) -> Tensor:
        return weights


@dataclass(frozen=True, slots=True)
class Entmax15:
    """1.5-entmax: few keys keep weight, the others get exactly zero."""

    fused: bool = False

    def __call__(self, logits: Tensor) -> Tensor:
        return solve(logits)

    def slope(self, weights: Tensor) -> Tensor:
        return weights.sqrt()


NORMALIZERS: dict[str, Normalizer] = {"softmax": Softmax(), "entmax": Entmax15()}


def normalizer(chosen: str | Normalizer) -> Normalizer:
    """By name, or as it is."""
    if not isinstance(chosen, str):
        return chosen
    if chosen not in NORMALIZERS:
        raise ConfigError(f"normalize is {chosen!r}: it must be one of {', '.join(NORMALIZERS)}")
    return NORMALIZERS[chosen]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `tiled` needs beside its tensors."""

    normalize: Normalizer
    scale: float
    dropout: float = 0.0
    keep: bool = True
    """Whether the weights are returned."""
    average: bool = False
    """Return the mean of the heads, (B, Tq, Tk): without gradients the weights of the heads are then never held."""


def tiled(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: Plan,
    *,
    ignore: Tensor | None = None,
    bias: Tensor | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attended values (B, H, Tq, dv) and the weights before dropout, (B, H, Tq, Tk), or (B, Tq, Tk), or None: by `plan`.

    `ignore` and `bias` as in `attend`, but no row may be ignored as a whole; `rows`, broadcastable to (B, H, Tq, 1), is
    multiplied to the weights. Gradients once, not of gradients.
    """
    attended, weights = _Tiled.apply(query, key, value, ignore, bias, rows, plan)  # type: ignore[no-untyped-call]
    return attended, weights


def tiles(shape: torch.Size, size: int) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks of whole rows of (B, H, Tq, Tk), in order, contiguous each, of at most `size` weights or one row."""
    batch, heads, queries, keys = shape
    step_q = min(queries, max(1, size // max(1, keys)))
    step_h = min(heads, max(1, size // max(1, keys * queries))) if step_q == queries else 1
    step_b = min(batch, max(1, size // max(1, keys * queries * heads))) if step_h == heads else 1
    for b in range(0, batch, max(1, step_b)):
        for h in range(0, heads, max(1, step_h)):
            for q in range(0, queries, max(1, step_q)):
                yield slice(b, b + step_b), slice(h, h + step_h), slice(q, q + step_q)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *rest: Any,
    ) -> tuple[Tensor, Tensor | None]:
        ignore, bias, rows, plan = rest
        shape = torch.Size((*query.shape[:-1], key.shape[-2]))
        keep = any(ctx.needs_input_grad) or (plan.keep and not plan.average)
        mean = query.new_zeros(shape[0], *shape[2:]) if plan.keep and plan.average else None
        weights = query.new_empty(shape) if keep else None
        attended = query.new_empty(*shape[:-1], value.shape[-1])
        seed = int(torch.randint(1 << 62, ()).item()) if plan.dropout else 0
        noise = _noise(seed, query)
        ctx.plan, ctx.seed = plan, seed
        ctx.set_materialize_grads(False)  # no zeros as large as the weights where these are not used
        ctx.save_for_backward(query, key, value, bias, weights)
        query, key, value = _exact(query) * plan.scale, _exact(key).mT, _exact(value)
        in_place = weights is not None and weights.dtype == query.dtype  # the tile is computed where it is kept
        with torch.autocast(query.device.type, enabled=False):
            for tile in tiles(shape, _tile_size(query)):
                here = weights[tile] if weights is not None else None
                part = torch.matmul(query[tile], key[tile[:2]], out=here if in_place else None)
                if bias is not None:
                    part += _cut(bias, tile, shape)
                if ignore is not None:
                    part.masked_fill_(_cut(ignore, tile, shape), -torch.inf)
                part = plan.normalize(part)
                if rows is not None:
                    part *= _cut(rows, tile, shape)
                if here is not None and part is not here:
                    here.copy_(part)
                if mean is not None:
                    mean[tile[0], tile[2]] += part.sum(1) / shape[1]
                if plan.dropout:
                    part = part * _kept(part, plan.dropout, noise)
                attended[tile] = part @ value[tile[:2]]
        return attended, mean if plan.average else weights if plan.keep else None

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_attended: Tensor | None, d_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        query, key, value, bias, weights = ctx.saved_tensors
        if d_attended is None:
            d_attended = query.new_zeros(*query.shape[:-1], value.shape[-1])
        plan: Plan = ctx.plan
        noise = _noise(ctx.seed, query)
        query, key, value = _exact(query) * plan.scale, _exact(key), _exact(value)
        d_query, d_key, d_value = (torch.zeros_like(x) for x in (query, key, value))
        d_bias = torch.zeros_like(bias, dtype=query.dtype) if ctx.needs_input_grad[4] else None
        with torch.autocast(query.device.type, enabled=False):
            for tile in tiles(weights.shape, _tile_size(query)):
                part, d_out = _exact(weights[tile]), _exact(d_attended[tile])
                d_part, dropped = d_out @ value[tile[:2]].mT, part
                if plan.dropout:
                    kept = _kept(part, plan.dropout, noise)
                    d_part, dropped = d_part.mul_(kept), kept.mul_(part)
                d_value[tile[:2]] += dropped.mT @ d_out
                if d_weights is not None:
                    d_part += d_weights[tile[0], None, tile[2]] / weights.shape[1] if plan.average else d_weights[tile]
                slope = plan.normalize.slope(part)
                d_part *= slope
                d_part -= slope * (d_part.sum(-1, keepdim=True) / slope.sum(-1, keepdim=True).clamp(min=_TINY))
                if d_bias is not None:
                    _spread(d_bias, d_part, tile)
                d_query[tile] = (d_part @ key[tile[:2]]) * plan.scale
                d_key[tile[:2]] += d_part.mT @ query[tile]
        return d_query, d_key, d_value, None, d_bias, None, None


_TINY = 1e-30
_HALVES = (torch.float16, torch.bfloat16)


def _exact(x: Tensor) -> Tensor:
    return x.float() if x.dtype in _HALVES else x


def _tile_size(x: Tensor) -> int:
    return TILE.get(x.device.type, TILE["cuda"])


def _cut(x: Tensor, tile: tuple[slice, slice, slice], shape: torch.Size) -> Tensor:
    """The tile of what is broadcastable to (B, H, Tq, ..), without copying."""
    return x.expand(*shape[:-1], x.shape[-1])[tile]


def _spread(d_bias: Tensor, d_logits: Tensor, tile: tuple[slice, slice, slice]) -> None:
    """Add the tile's gradient to that of a bias of fewer or broadcast dimensions."""
    whole = d_bias[(None,) * (4 - d_bias.dim())]
    where = tuple(cut if length > 1 else slice(None) for cut, length in zip(tile, whole.shape, strict=False))
    part = whole[where]
    part += d_logits.sum_to_size(part.shape)


def _noise(seed: int, like: Tensor) -> torch.Generator:
    return torch.Generator(like.device).manual_seed(seed)


def _kept(like: Tensor, dropout: float, noise: torch.Generator) -> Tensor:
    """1 / (1 - dropout) where kept, 0 where dropped; the backward pass draws the same from the same seed."""
    return torch.empty_like(like).bernoulli_(1 - dropout, generator=noise) / (1 - dropout)
