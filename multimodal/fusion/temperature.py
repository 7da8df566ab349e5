"""Temperature scaling: one number that makes probabilities honest without changing any decision."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from multimodal.errors import InputError

_LOWEST, _HIGHEST = 0.01, 100.0
_HALVINGS = 60


@torch.no_grad()
def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T in [0.01, 100] at which softmax(logits / T) is likeliest on held-out data (arXiv:1706.04599).

    The likelihood is concave in 1 / T, so its slope there, sum over samples of (logit of the label - mean logit under the
    softmax), has one zero, which bisection finds. Where every label is already the highest there is no zero (the likelihood
    only grows as T falls) and the lowest T is the answer. Where all logits are alike T changes nothing; then it is 1.

    Args:
        logits: (N, C).
        labels: (N,) whole numbers below C.

    Raises:
        InputError: shapes that do not belong together, or no samples.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise InputError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} do not fit, expected (N, C) and (N,)"
        )
    scores = functional.log_softmax(logits.double(), -1)
    if not bool((scores.amax(-1) > scores.amin(-1)).any()):
        return 1.0
    true = scores.gather(1, labels.long()[:, None])[:, 0]  # (N,)

    def slope(temperature: float) -> float:
        expected = (torch.softmax(scores / temperature, -1) * scores).sum(-1)  # (N,)
        return float((true - expected).sum())

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if slope(math.exp(middle)) >= 0:  # the likelihood still grows with 1 / T, or can grow no more
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)
