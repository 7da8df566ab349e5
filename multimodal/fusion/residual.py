"""mean + residual, and whose work the sum is. Shapes: B batch, M modalities, H hidden_dim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusion.intake import Taken, shares_of, weighted_sum

Residual = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Any]]]
"""(vectors (B, M, H), quality (B, M)) -> (residual (B, H), what else there is to tell)."""


def around_mean(
    taken: Taken, residual: Residual, *, seen: Tensor | None = None, measure: bool = True
) -> tuple[Tensor, dict[str, Any]]:
    """The mean of what is there plus what `residual` makes of it; zeros where all is absent.

    Metadata: ``mean`` and ``residual`` (B, H), which sum to the result; by modality, each (B,): ``present`` (bool),
    ``shares`` in the mean, ``effects`` in the residual and ``contributions``; ``residual_share`` (B,); and what `residual`
    tells. With "without m" computed, not estimated (all that are there in one further pass):

        effects        = |residual - residual without m| / its sum over m
        residual_share = sum |change of the residual| / (sum |change of the residual| + sum |change of the mean|)
        contributions  = (1 - residual_share) shares + residual_share effects

    How far the mean moves says how long a vector is, not what it is worth; so the mean counts by its shares alone. An
    untrained residual never changes: there the contributions are exactly the shares. In training (`measure` False) the
    further pass is left out and they are the shares too. Samples where all is absent have zeros throughout.

    Args:
        seen: what the residual sees instead of `taken.vectors`, (B, M, H).
    """
    vectors = taken.vectors if seen is None else seen
    raw, details = residual(vectors, taken.quality)
    added = _of_something(raw, taken.quality).to(taken.mean.dtype)
    effects, residual_share = taken.shares, torch.zeros_like(taken.shares[:, 0])
    if measure:
        effects, residual_share = _leave_out(taken, vectors, residual, added)
    contributions = taken.shares + residual_share[:, None] * (effects - taken.shares)
    by_name = {
        "present": taken.quality > 0,
        "shares": taken.shares,
        "effects": effects,
        "contributions": contributions,
    }
    return taken.mean + added, {
        **{what: dict(zip(taken.names, values.detach().unbind(1), strict=True)) for what, values in by_name.items()},
        "mean": taken.mean,
        "residual": added,
        "residual_share": residual_share,
        **details,
    }


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts at zero; its weights get a gradient at once, what lies before it from the next step."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def _leave_out(taken: Taken, vectors: Tensor, residual: Residual, added: Tensor) -> tuple[Tensor, Tensor]:
    """(effects (B, M) that sum to 1, share of the residual in them (B,))."""
    batch, modalities = taken.quality.shape
    there = torch.arange(modalities, device=vectors.device)
    if not torch.compiler.is_compiling():
        there = there[(taken.quality > 0).any(0)]  # (K,): what the whole batch lacks need not be left out
    count = len(there)
    if count == 0:
        return taken.shares, torch.zeros_like(taken.shares[:, 0])
    others = ~torch.eye(modalities, dtype=torch.bool, device=vectors.device)[there]  # row k: all but that one
    quality = (taken.quality * others[:, None]).flatten(0, 1)  # (K, B, M) -> (K * B, M)
    without = _of_something(residual(_repeat(vectors, count), quality)[0], quality)
    mean = weighted_sum(shares_of(quality), _repeat(taken.vectors, count))
    shape = (count, batch, -1)
    moved = (added.float() - without.float().view(shape)).transpose(0, 1)  # (K * B, H) -> (B, K, H)
    shifted = (taken.mean.float() - mean.float().view(shape)).transpose(0, 1)
    distance = torch.zeros_like(taken.shares)  # (B, M)
    distance[:, there] = moved.norm(dim=-1).to(distance.dtype) * (taken.quality[:, there] > 0)
    total = distance.sum(1, keepdim=True)
    effects = torch.where(total > 0, distance / total.masked_fill(total == 0, 1), taken.shares)
    whole = total[:, 0] + shifted.norm(dim=-1).sum(1)
    return effects, total[:, 0] / whole.masked_fill(whole == 0, 1)


def _of_something(residual: Tensor, quality: Tensor) -> Tensor:
    """Nothing comes of nothing."""
    return residual.masked_fill((quality.amax(1) == 0)[:, None], 0)


def _repeat(x: Tensor, count: int) -> Tensor:
    """(B, M, H) -> (count * B, M, H)"""
    return x.expand(count, *x.shape).flatten(0, 1)
