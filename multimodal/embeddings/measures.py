"""How well two sets of vectors agree: similarity of spaces, spread on the sphere, the gap between modalities, recall.

Rows are items and vectors are compared by cosine, so every function but `cka` brings rows to unit length itself. N rows, D
dimensions. All is computed in float64 on the device of the input and given back as plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import InputError

_BLOCK = 4096
"""Rows whose scores are held at once."""


def cka(a: Tensor, b: Tensor, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment of (N, Da) and (N, Db), rows paired: 1 equal up to rotation and scale, 0 unrelated.

    The debiased form takes the unbiased estimate of HSIC (Song et al., JMLR 13, 2012; Murphy et al., arXiv:2405.01012) and
    may fall a little below 0. The plain form (Kornblith et al., arXiv:1905.00414) grows with Da and Db over N: unrelated
    noise of 300 rows and 384 dimensions reads about 0.6. No (N, N) matrix is made.

    Raises:
        InputError: not two (N, D) with the same N, or N < 4.
    """
    x, y = _paired(a, b, least=4)
    if not debiased:
        x, y = x - x.mean(0), y - y.mean(0)
        return _share((x.T @ y).square().sum(), (x.T @ x).square().sum(), (y.T @ y).square().sum())
    x, y = x - x.mean(0), y - y.mean(0)  # changes nothing in exact arithmetic, saves digits
    return _share(_hsic(x, y), _hsic(x, x), _hsic(y, y))


def alignment(a: Tensor, b: Tensor, *, alpha: float = 2.0) -> float:
    """Mean distance to the power `alpha` of what belongs together (Wang and Isola, arXiv:2005.10242): 0 is perfect."""
    x, y = _paired(a, b)
    return float((_unit(x) - _unit(y)).norm(dim=1).pow(alpha).mean())


def uniformity(a: Tensor, *, t: float = 2.0) -> float:
    """Log of the mean of exp(-t distance^2) over all pairs of rows of (N, D) (Wang and Isola, arXiv:2005.10242).

    0 where all lie on one point; the lower, the better they use the sphere (about -2t in many dimensions).
    """
    x = _unit(_rows(a, least=2))
    total = x.new_zeros(())
    for block in torch.split(x, _BLOCK):
        total = total + (-t * (2 - 2 * (block @ x.T)).clamp(min=0)).exp().sum()
    pairs = len(x) * (len(x) - 1)
    return math.log(max(float(total - len(x)), 1e-300) / pairs)  # without each row's pair with itself


def modality_gap(a: Tensor, b: Tensor) -> float:
    """Distance of the means of two modalities on the unit sphere (Liang et al., arXiv:2203.02053); the N may differ."""
    x, y = _unit(_rows(a)), _unit(_rows(b))
    if x.shape[1] != y.shape[1]:
        raise InputError(f"both have the same dimensions, not {x.shape[1]} and {y.shape[1]}")
    return float((x.mean(0) - y.mean(0)).norm())


def ranks(questions: Tensor, candidates: Tensor, *, right: Tensor | None = None) -> Tensor:
    """Per question, how many wrong candidates score at least what the best right one does: 0 is found first; int64 (Q,).

    Args:
        questions: (Q, D). candidates: (C, D).
        right: bool (Q, C); where None, candidate i answers question i and Q = C. A tie counts against the right one, so
            vectors that are all equal find nothing; so does a NaN.

    Raises:
        InputError: shapes that do not fit, or a question without a right candidate.
    """
    q, c = _unit(_rows(questions)), _unit(_rows(candidates))
    if q.shape[1] != c.shape[1]:
        raise InputError(f"questions and candidates have the same dimensions, not {q.shape[1]} and {c.shape[1]}")
    if right is None:
        if len(q) != len(c):
            raise InputError(f"without `right`, candidate i answers question i; {len(q)} questions, {len(c)} candidates")
        right = torch.eye(len(q), dtype=torch.bool, device=q.device)
    if right.shape != (len(q), len(c)) or right.dtype is not torch.bool:
        raise InputError(f"right is bool ({len(q)}, {len(c)}), not {right.dtype} {tuple(right.shape)}")
    if not bool(right.any(1).all()):
        raise InputError("every question has a right candidate")
    found = []
    for asked, answers in zip(torch.split(q, _BLOCK), torch.split(right, _BLOCK), strict=True):
        scores = asked @ c.T  # (block, C)
        best = scores.masked_fill(~answers, -math.inf).amax(1, keepdim=True)
        found.append((~(scores < best - 1e-12) & ~answers).sum(1))  # so that a NaN counts against the right one too
    return torch.cat(found)


def recall(
    questions: Tensor, candidates: Tensor, *, k: Sequence[int] = (1, 5, 10), right: Tensor | None = None
) -> dict[str, float]:
    """``R@k``: share of questions with a right answer among the first k; ``median rank`` counts from 1. See `ranks`."""
    places = ranks(questions, candidates, right=right)
    found = {f"R@{n}": float((places < n).double().mean()) for n in k}
    return found | {"median rank": float(places.double().median()) + 1}


@dataclass(frozen=True, slots=True)
class CoherenceBaseline:
    """What unrelated pairs reach, so that a cosine can be read: 0.2 is much for a sound and a text, little for two texts.

    Cosines of different pairs of modalities have different means (the modality gap) and spreads; only against those may they
    be compared, summed or averaged. Measured once per space on moments that are typical for it.

    Attributes:
        mean, deviation: of the cosine of shuffled pairs, by modalities ``a|b`` with a <= b.
        rows: moments it was measured on.
    """

    mean: Mapping[str, float]
    deviation: Mapping[str, float]
    rows: int

    @classmethod
    def measure(cls, moments: Mapping[str, Tensor]) -> CoherenceBaseline:
        """By modality (N, D): row i of all belongs to moment i; a row of zeros is a modality that the moment lacks.

        Shuffled means all pairs of different moments, in closed form: nothing is drawn. Moments that repeat one another make
        unrelated pairs look related.

        Raises:
            InputError: modalities with different N, or no pair of modalities with three common moments.
        """
        units = {name: _unit(_rows(vectors)) for name, vectors in sorted(moments.items())}
        sizes = {len(vectors) for vectors in units.values()}
        if len(sizes) != 1:
            raise InputError(f"row i of every modality is moment i: as many rows in each, not {sorted(sizes)}")
        mean, deviation = {}, {}
        for a, b in combinations_with_replacement(units, 2):
            there = (units[a].any(1) & units[b].any(1)).nonzero()[:, 0]
            if len(there) < 3:
                continue
            x, y = units[a][there], units[b][there]
            pairs = len(there) * (len(there) - 1)
            own = (x * y).sum(1)
            first = float((x.sum(0) @ y.sum(0) - own.sum()) / pairs)
            second = float(((x.T @ x * (y.T @ y)).sum() - own.square().sum()) / pairs)
            spread = math.sqrt(max(second - first**2, 0.0))
            if spread > 1e-9:
                mean[f"{a}|{b}"], deviation[f"{a}|{b}"] = first, spread
        if not mean:
            raise InputError("at least three different moments with the same two modalities are needed")
        return cls(mean, deviation, sizes.pop())

    def z_scores(self, scores: Mapping[str, float], modalities: Mapping[str, str]) -> dict[str, float]:
        """`ModalityAlignment.scores` by pair of streams ``a|b`` -> deviations above what shuffled pairs reach.

        `modalities` names each stream's modality; a stream that is named by its modality may be left out. Pairs that were
        never measured are left out.
        """
        found = {}
        for pair, score in scores.items():
            one, _, other = pair.partition("|")
            key = "|".join(sorted((modalities.get(one, one), modalities.get(other, other))))
            if key in self.mean:
                found[pair] = (score - self.mean[key]) / self.deviation[key]
        return found

    def coherence(self, scores: Mapping[str, float], modalities: Mapping[str, str]) -> float | None:
        """Sum of the z-scores over the root of their number: one deviation wide where nothing is related; None of none."""
        z = self.z_scores(scores, modalities)
        return sum(z.values()) / math.sqrt(len(z)) if z else None

    def to_json(self) -> dict[str, Any]:
        return {"mean": dict(self.mean), "deviation": dict(self.deviation), "rows": self.rows}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CoherenceBaseline:
        return cls(dict(document["mean"]), dict(document["deviation"]), int(document["rows"]))


def _hsic(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased, of linear kernels without their diagonal, times n (n - 3), which cancels in a ratio."""
    n = len(x)
    kx, ky = x.square().sum(1), y.square().sum(1)  # the diagonals (N,)
    rx, ry = x @ x.sum(0) - kx, y @ y.sum(0) - ky  # sums of the rows without them (N,)
    return (
        (x.T @ y).square().sum() - (kx * ky).sum()
        + rx.sum() * ry.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rx * ry).sum()
    )  # fmt: skip


def _share(common: Tensor, own: Tensor, other: Tensor) -> float:
    scale = own * other
    return float(common / scale.sqrt()) if float(own) > 0 and float(other) > 0 else 0.0


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=1)


def _rows(x: Tensor, least: int = 1) -> Tensor:
    if x.ndim != 2 or len(x) < least:
        raise InputError(f"vectors are rows (N, D) with N at least {least}, not {tuple(x.shape)}")
    return x.double()


def _paired(a: Tensor, b: Tensor, least: int = 1) -> tuple[Tensor, Tensor]:
    x, y = _rows(a, least), _rows(b, least)
    if len(x) != len(y):
        raise InputError(f"row i of both belongs together: as many rows in each, not {len(x)} and {len(y)}")
    return x, y
