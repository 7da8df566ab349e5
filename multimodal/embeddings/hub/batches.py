"""Many texts at once, without padding: what is read together has one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SIZE = 64


def by_length(rows: Sequence[Tensor], read: Callable[[Tensor], Tensor]) -> Tensor:
    """Token ids, each (1, T) with a T of its own -> (N, D) in their order; `read` takes (n, T) and gives (n, D)."""
    groups: dict[int, list[int]] = {}
    for place, ids in enumerate(rows):
        groups.setdefault(ids.shape[1], []).append(place)
    found: list[Tensor | None] = [None] * len(rows)
    for places in groups.values():
        for start in range(0, len(places), SIZE):
            some = places[start : start + SIZE]
            for place, vector in zip(some, read(torch.cat([rows[place] for place in some])), strict=True):
                found[place] = vector
    return torch.stack([vector for vector in found if vector is not None])
