"""What each modality is worth, measured by taking it away. Shapes: B batch, H hidden_dim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from multimodal.errors import InputError


class Fusion(Protocol):
    """How every strategy of this library is called; see `EarlyFusion`."""

    def __call__(
        self,
        features: Mapping[str, Tensor | None],
        *,
        mask: Mapping[str, Any] | None = None,
        quality: Mapping[str, Any] | None = None,
        padding: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Any]]: ...


Score = Callable[[Tensor, dict[str, Any]], Tensor]
"""(fused (B, H), metadata) -> (B,), higher is better: the log-probability of the right answer, say."""


@torch.no_grad()
def leave_one_out(
    module: Fusion,
    features: Mapping[str, Tensor | None],
    *,
    mask: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    padding: Mapping[str, Tensor] | None = None,
    score: Score | None = None,
) -> dict[str, Tensor]:
    """What is lost without each modality, by name (B,); 0 where it was absent anyway.

    With `score` it is score(all) - score(without), below 0 where the modality harms. Without, it is how far the fused vector
    moves, the Euclidean distance. Use held-out data and `module.eval()`: on its own training data a fusion
    seems to need what it only remembers.

    It costs a call per modality.
    """
    fused, metadata = module(features, mask=mask, quality=quality, padding=padding)
    whole = None if score is None else score(fused, metadata)
    lost = {}
    for name, there in metadata["present"].items():
        gone = {**(mask or {}), name: torch.ones_like(there)}
        rest, told = module(features, mask=gone, quality=quality, padding=padding)
        if score is None or whole is None:
            lost[name] = (fused.float() - rest.float()).norm(dim=-1) * there
        else:
            lost[name] = (whole - score(rest, told)) * there
    return lost


def rank_agreement(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> float:
    """Spearman's correlation between the means over the batch of two measures of the same modalities, in [-1, 1].

    Equal values share their mean rank. NaN where all values of one are equal.

    Raises:
        InputError: they are of different modalities, or of fewer than two.
    """
    if one.keys() != two.keys() or len(one) < 2:
        raise InputError(f"{sorted(one)} and {sorted(two)} cannot be ranked alike, expected the same two or more names")
    names = sorted(one)
    a, b = (_ranks(torch.stack([values[name].double().mean() for name in names])) for values in (one, two))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def _ranks(values: Tensor) -> Tensor:
    """(N,) -> (N,) from 1, ties sharing their mean."""
    below = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return below + (equal + 1).double() / 2
