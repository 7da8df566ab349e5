"""Whether new weights are better than the old ones, on time that neither has learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import InputError
from multimodal.training.moments import Moments
from multimodal.training.objective import fused

BLOCK = 4
"""Lengths of a window that are one witness: what lies closer together says the same twice."""

WITNESSES = 5
"""The fewest that can speak for or against new weights."""

SURE = 2.0
"""Standard errors by which new weights have to be better."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where the hidden modality was found: R questions, each a moment with one of its modalities hidden.

    Attributes:
        rows: (R,) the moment of each question. hidden: (R,) which modality was hidden.
        ranks: (R,) candidates that come before the best right one; 0 is found first.
        candidates, right: (R,) how many there were, and how many of them were right.
    """

    rows: Tensor
    hidden: Tensor
    ranks: Tensor
    candidates: Tensor
    right: Tensor

    def figures(self, hidden: int | None = None) -> dict[str, float]:
        """R@1, R@5, median rank (from 1), mean reciprocal rank, their number; of one hidden modality, or of all."""
        own = self.hidden == hidden if hidden is not None else torch.ones_like(self.hidden, dtype=torch.bool)
        ranks = self.ranks[own].double()
        if not len(ranks):
            return {}
        return {
            "R@1": float((ranks < 1).double().mean()),
            "R@5": float((ranks < 5).double().mean()),
            "median rank": float(ranks.median()) + 1,
            "mean reciprocal rank": float((1 / (ranks + 1)).mean()),
            "chance R@1": float((self.right[own] / self.candidates[own]).double().mean()),
            "questions": len(ranks),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """New weights against old ones.

    Attributes:
        gain: of the mean reciprocal rank. error: its standard error, over blocks of time.
        witnesses: how many blocks there were.
        better: whether the gain is above `SURE` standard errors. reason: in words.
    """

    gain: float
    error: float
    witnesses: int
    better: bool
    reason: str


@torch.no_grad()
def find(module: nn.Module | None, moments: Moments, rows: Tensor) -> Found:
    """Hide each modality of each of the moments `rows` in turn and look for it among theirs; None is the training-free one.

    Right is the moment's own vector and those of moments that share some of its time. A tie counts against.

    Raises:
        InputError: no moment here has two modalities.
    """
    parts: list[tuple[Tensor, ...]] = []
    if module is not None:
        module.eval()
    for hidden in range(len(moments.modalities)):
        asked = moments.present[rows].clone()
        asked[:, hidden] = False
        own = moments.present[rows, hidden] & asked.any(1)
        asking, asked = rows[own], asked[own]
        if not len(asking):
            continue
        there = rows[moments.present[rows, hidden]]
        query = (
            F.normalize(moments.asking(asking, asked)[1], dim=1)
            if module is None
            else fused(module, moments, asking, asked)
        )
        scores = query @ moments.alone(there, hidden).T  # (R, C)
        right = moments.together(asking, there)
        best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        ranks = (scores.masked_fill(right, -torch.inf) >= best - 1e-6).sum(1)
        parts.append((asking, torch.full_like(asking, hidden), ranks, torch.full_like(asking, len(there)), right.sum(1)))
    if not parts:
        raise InputError("no moment has two modalities: nothing belongs together that could be learned or judged")
    return Found(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


def compare(old: Found, new: Found, moments: Moments) -> Verdict:
    """Paired: the same questions. The error is that of the mean over blocks of time (windows side by side are no witnesses
    of their own); fewer than `WITNESSES` blocks decide nothing."""
    gained = 1 / (new.ranks.double() + 1) - 1 / (old.ranks.double() + 1)
    length = BLOCK * int((moments.end - moments.start).max())
    rows = new.rows.to(moments.start.device)
    block = torch.stack([moments.recording[rows], moments.start[rows] // length], 1).cpu()
    _, member = torch.unique(block, dim=0, return_inverse=True)
    sums = torch.zeros(int(member.max()) + 1, dtype=torch.float64).index_add_(0, member, gained)
    sizes = torch.zeros_like(sums).index_add_(0, member, torch.ones_like(gained))
    gain, count = float(gained.mean()), len(sums)
    spread = (sums - gain * sizes).square().sum() * count / max(count - 1, 1)  # of a ratio of sums over clusters
    error = float(spread.sqrt()) / len(gained)
    if count < WITNESSES:
        seconds = length / 1e9
        reason = f"the held-out time is too short to judge by: {count} stretches of {seconds:g} s, {WITNESSES} are needed"
        return Verdict(gain, error, count, False, reason)
    better = gain > SURE * error and gain > 0
    amount = f"{gain:+.3f} ± {error:.3f}"
    reason = f"the mean reciprocal rank on held-out time changes by {amount}"
    return Verdict(gain, error, count, better, reason if better else f"{reason}, which is no sure gain")


def table(old: Found, new: Found, modalities: tuple[str, ...]) -> dict[str, dict[str, Mapping[str, float]]]:
    """By hidden modality, and ``all``: the figures of the old and of the new weights."""
    places: dict[str, Any] = {name: number for number, name in enumerate(modalities)} | {"all": None}
    return {
        name: {"old": figures, "new": new.figures(place)}
        for name, place in places.items()
        if (figures := old.figures(place))
    }

