"""From the score of a result to the probability that it is right, learned from questions whose right answers are known.

A logistic over three features (Platt, 1999), fitted per direction (words to pictures is another than pictures to words):

    score    the similarity itself
    ahead    by how much the first result is above the second; 0 for all others
    behind   by how much a result is below the first; 0 for the first

The last two make it independent of how many results are asked for: a score of .4 that leads is worth more than one that
follows, so the first of one and the first of ten have the same confidence. A logistic and not isotonic regression, because
four numbers can be had from some ten questions, where isotonic needs a thousand results (Niculescu-Mizil and Caruana, ICML
2005), and because it keeps the order of the results. Weights are never below 0: a better score never lowers a confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import InputError

LEAST = 5
"""Questions needed at least."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Confidence of the results of one question.

    Attributes:
        weights: of score, ahead and behind; none below 0.
        bias: added to them.
    """

    weights: tuple[float, float, float]
    bias: float

    def confidence(self, scores: Floats) -> Floats:
        """(n,) scores of the results of one question, best first -> (n,) probabilities.

        Give one result more than is needed: what the first is worth depends on the second.
        """
        return self.probabilities(features(scores))

    def probabilities(self, columns: Floats) -> Floats:
        """(n, 3) of `features` -> (n,) probabilities."""
        z = columns @ np.array(self.weights) + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -60.0, 60.0))))


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """What a calibration was learned from and how far it can be trusted.

    Attributes:
        questions, results: it was learned from. right: share of the results that were right.
        error: expected calibration error of the first results of questions that were held out in turn (five folds); its own
            noise is about .4 / sqrt(questions), so few questions cannot show a small one.
    """

    questions: int
    results: int
    right: float
    error: float


def fitted(scores: Sequence[Floats], right: Sequence[NDArray[np.bool_]]) -> tuple[ScoreCalibration, CalibrationFit]:
    """From the results of some questions: for each its scores, best first, and which of them are right, (n,) both.

    Raises:
        InputError: fewer than `LEAST` questions with results, or scores that do not fit what is right.
    """
    if len(scores) != len(right) or any(len(a) != len(b) for a, b in zip(scores, right, strict=False)):
        raise InputError("every result has a score and is right or wrong")
    kept = [(features(s), np.asarray(r, bool)) for s, r in zip(scores, right, strict=True) if len(s)]
    if len(kept) < LEAST:
        raise InputError(f"a calibration needs {LEAST} questions with results and better some dozens, not {len(kept)}")
    folds = min(5, len(kept))
    confidences, truths = [], []
    for fold in range(folds):
        model = _logistic([row for number, row in enumerate(kept) if number % folds != fold])
        for x, y in kept[fold::folds]:
            confidences.append(float(model.probabilities(x[:1])[0]))
            truths.append(bool(y[0]))
    error = expected_calibration_error(np.array(confidences), np.array(truths))
    every = np.concatenate([y for _, y in kept])
    return _logistic(kept), CalibrationFit(len(kept), len(every), float(every.mean()), error)


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between confidence and share of right ones, over bins of equal width (Guo et al., arXiv:1706.04599)."""
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence - right)[number == one].sum()) for one in range(bins)]
    return float(sum(gaps) / max(len(confidence), 1))


def features(scores: Floats) -> Floats:
    """(n,), best first -> (n, 3): score, ahead, behind (not above 0)."""
    s = np.asarray(scores, np.float64)
    found = np.zeros((len(s), 3))
    found[:, 0] = s
    if len(s) > 1:
        found[0, 1] = s[0] - s[1]
    found[1:, 2] = s[1:] - s[:1]
    return found


def _logistic(rows: Sequence[tuple[Floats, NDArray[np.bool_]]]) -> ScoreCalibration:
    """Maximum likelihood by Newton's method, with Platt's targets and a weak prior for few or separable results."""
    x, y = np.concatenate([x for x, _ in rows]), np.concatenate([y for _, y in rows])
    positive = int(y.sum())
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))  # (Platt, 1999)
    mean, spread = x.mean(0), x.std(0)
    active = spread > 1e-9
    while True:
        columns = np.flatnonzero(active)
        design = np.column_stack([(x[:, columns] - mean[columns]) / spread[columns], np.ones(len(x))])
        found = _newton(design, target)
        if (found[:-1] >= 0).all():
            break
        active[columns[np.argmin(found[:-1])]] = False
    weights = np.zeros(3)
    weights[columns] = found[:-1] / spread[columns]
    bias = float(found[-1] - weights @ mean)
    return ScoreCalibration((float(weights[0]), float(weights[1]), float(weights[2])), bias)


def _newton(design: Floats, target: Floats) -> Floats:
    """Weights, the last of them without a prior."""
    prior = np.full(design.shape[1], 0.05)
    prior[-1] = 1e-9
    found = np.zeros(design.shape[1])

    def loss(w: Floats) -> float:
        z = design @ w
        return float((np.logaddexp(0, z) - target * z).sum() + (prior * w * w).sum() / 2)

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -60, 60)))
        slope = design.T @ (p - target) + prior * found
        curve = (design * (p * (1 - p))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(curve + 1e-12 * np.eye(len(found)), slope)
        size, here = 1.0, loss(found)
        while size > 1e-6 and loss(found - size * step) > here:
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return found
