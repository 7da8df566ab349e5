"""1.5-entmax: like softmax, but what is far below the best gets exactly zero (Peters et al. 2019, arXiv:1905.05702)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def entmax15(logits: Tensor) -> Tensor:
    """Of the last dimension; rows sum to 1. -inf gets exactly 0; a row of only -inf is NaN. Differentiable (once)."""
    result: Tensor = _Entmax15.apply(logits)  # type: ignore[no-untyped-call]
    return result


def solve(logits: Tensor) -> Tensor:
    """p = max(z / 2 - tau, 0)^2 with tau so that the sum is 1: the exact algorithm, by sorting (section 4.2).

    For the k largest of x = z / 2, tau_k solves sum (x_i - tau_k)^2 = 1, a quadratic with their mean and variance; the
    support is the largest k with tau_k <= x_k. Computed in float32 for half precision.
    """
    halves = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    halves = (halves - halves.amax(-1, keepdim=True)) / 2  # highest is 0: what is below -1 is outside for sure
    ordered = halves.clamp(min=-2).sort(-1, descending=True).values
    count = torch.arange(1, ordered.shape[-1] + 1, device=logits.device, dtype=ordered.dtype)
    mean = ordered.cumsum(-1) / count
    spread = (ordered.square().cumsum(-1) / count - mean.square()).clamp(min=0)  # variance of the k largest
    taus = mean - (1 / count - spread).clamp(min=0).sqrt()
    size = (taus <= ordered).sum(-1, keepdim=True).clamp(min=1)
    tau = taus.gather(-1, size - 1)
    weights = (halves - tau).clamp(min=0).square()
    return (weights / weights.sum(-1, keepdim=True)).to(logits.dtype)


class _Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        weights = solve(logits)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Jacobian diag(s) - s s^T / sum(s), s = sqrt(p) (proposition 2 of the paper)."""
        slope: Tensor = ctx.saved_tensors[0].sqrt()
        return slope * (gradient - (slope * gradient).sum(-1, keepdim=True) / slope.sum(-1, keepdim=True))
