"""Attention as recall from an associative memory: a modern Hopfield network (Ramsauer et al. 2020, arXiv:2008.02217).

The keys are stored patterns, a query is a noisy or partial one. One step moves it towards the patterns that it resembles,

    z <- (1 - g) z + g softmax(beta z K^T) K,

and with all keys in play and 0 < g <= 1 it never raises the energy

    E(z) = -lse(beta K z) / beta + |z|^2 / 2,

for E is at most the paraboloid that touches it at z and has its lowest point where g = 1 leads (the concave-convex
procedure, theorem A.1 there). Where few patterns are alike, one or two steps end at the pattern itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def refine(state: Tensor, recall: Callable[[Tensor], Tensor], *, steps: int, rate: float = 1.0) -> Tensor:
    """`state` (B, H, Tq, d) after `steps` steps; as it is after 0.

    Args:
        recall: of a state of that shape, softmax(beta z K^T) K: an `attend` whose values are its keys.
        rate: g in (0, 1]; 1 goes all the way.
    """
    for _ in range(steps):
        recalled = recall(state)
        state = recalled if rate == 1 else torch.lerp(state, recalled, rate)
    return state


def energy(state: Tensor, keys: Tensor, *, beta: float, ignore: Tensor | None = None) -> Tensor:
    """E (..., Tq) of `state` (..., Tq, d) among `keys` (..., Tk, d); up to the constant that makes it positive.

    Args:
        ignore: bool, True = a key that is not there; broadcastable to (..., Tq, Tk).
    """
    logits = beta * state @ keys.transpose(-1, -2)
    if ignore is not None:
        logits = logits.masked_fill(ignore, -torch.inf)
    return state.square().sum(-1) / 2 - logits.logsumexp(-1) / beta
