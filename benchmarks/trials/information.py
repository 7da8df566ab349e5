"""Partial information decomposition: what two modalities say about a label together, each alone, and only jointly.

R redundancy (either tells), U1 and U2 uniqueness (only that one tells), S synergy (only both together tell), in bits; with
I(X1; Y) = R + U1, I(X2; Y) = R + U2 and I(X1, X2; Y) = R + U1 + U2 + S. The definition is Bertschinger et al. 2014
(arXiv:1311.2852), I_broja: among all joint distributions with the same two marginals (X1, Y) and (X2, Y), the one with the
least information holds no synergy. Liang et al. 2023 (arXiv:2302.12247) use it to describe multimodal data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Parts(NamedTuple):
    """In bits, none negative."""

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float


def decompose(joint: Array, *, tolerance: float = 1e-8) -> Parts:
    """Of a distribution p(x1, x2, y), an array (X1, X2, Y) that sums to 1.

    The convex program, min over q of I_q(X1, X2; Y) with q(x1, y) = p(x1, y) and q(x2, y) = p(x2, y), is solved by Newton's
    method with a logarithmic barrier (Boyd and Vandenberghe 2004, 11.3). X1 and X2 independent given Y is a start inside;
    every step is a mix of moves that take mass round a rectangle of cells, so the marginals stay to rounding.

    Args:
        tolerance: in nats, how far the information may be from the least (the barrier's duality gap).

    Raises:
        ValueError: not three axes, negative, or not summing to 1.
    """
    joint = np.asarray(joint, np.float64)
    if joint.ndim != 3 or (joint < 0).any() or abs(joint.sum() - 1) > 1e-6:
        raise ValueError("a distribution is an array (X1, X2, Y), nowhere negative, that sums to 1")
    joint = joint[:, :, joint.sum((0, 1)) > 0]
    least = _least_information(joint, tolerance)
    first, second, both = (_information(joint.sum(1)), _information(joint.sum(0)),
                           _information(joint.reshape(-1, joint.shape[2])))  # (X1, X2, Y) -> (X1 X2, Y)
    redundancy = first + second - least
    return Parts(*(max(0.0, part) for part in (redundancy, least - second, least - first, both - least)))


def estimate(first: NDArray[Any], second: NDArray[Any], labels: NDArray[np.int64], *, cells: int = 8,
             seed: int = 0) -> Parts:
    """Of features (N, D1), (N, D2) and labels (N,): each modality is cut into `cells` by k-means, then counted.

    Few cells lose detail, many find information by chance (about cells² · labels / (2 N ln 2) bits, Miller 1955): choose so
    that N is far above cells² · labels.
    """
    from sklearn.cluster import KMeans

    kinds, label = np.unique(labels, return_inverse=True)
    codes = [KMeans(cells, n_init=4, random_state=seed).fit_predict(np.asarray(x, np.float64)) for x in (first, second)]
    counts = np.zeros((cells, cells, len(kinds)))
    np.add.at(counts, (codes[0], codes[1], label), 1.0)
    return decompose(counts / counts.sum())


def _least_information(joint: Array, tolerance: float) -> float:
    first, second = joint.sum(1), joint.sum(0)  # (X1, Y), (X2, Y)
    start = first[:, None] * second[None] / joint.sum((0, 1))  # (X1, X2, Y), zero where q has to be
    free = start > 0
    moves = _moves(first > 0, second > 0)[free.ravel()]  # (cells, moves)
    place = np.nonzero(free.reshape(-1, joint.shape[2]))[0]  # of each free cell, which (x1, x2)
    q = _newton(start[free], moves, np.equal.outer(place, place).astype(np.float64), tolerance)
    whole = np.zeros_like(joint)
    whole[free] = q
    return _information(whole.reshape(-1, joint.shape[2]))  # (X1, X2, Y) -> (X1 X2, Y)


def _moves(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Array:
    """(X1 X2 Y, moves): for each y, +1 at (i, j) and (i0, j0), -1 at (i, j0) and (i0, j), where both marginals allow."""
    shape = (len(first), len(second), first.shape[1])
    found = []
    for y in range(shape[2]):
        rows, columns = np.nonzero(first[:, y])[0], np.nonzero(second[:, y])[0]
        for i in rows[1:]:
            for j in columns[1:]:
                move = np.zeros(shape)
                move[i, j, y] = move[rows[0], columns[0], y] = 1
                move[i, columns[0], y] = move[rows[0], j, y] = -1
                found.append(move.ravel())
    return np.stack(found, axis=1) if found else np.zeros((int(np.prod(shape)), 0))


def _newton(q: Array, moves: Array, same: Array, tolerance: float) -> Array:
    """Least sum q log(q(x, y) / q(x)) from the inside point `q`; `same` says which cells share their (x1, x2)."""
    sharpness = 1.0
    while moves.shape[1]:
        for _ in range(50):
            gradient = sharpness * np.log(q / (same @ q)) - 1 / q
            hessian = np.diag(sharpness / q + 1 / q**2) - sharpness * same / (same @ q)
            slope = moves.T @ gradient
            step = moves @ np.linalg.lstsq(moves.T @ hessian @ moves, -slope, rcond=None)[0]
            decrement = -gradient @ step
            if decrement < 1e-9:
                break
            size = min(1.0, 0.95 / max(1e-12, float((-step / q).max())))
            before = _barrier(q, same, sharpness)
            while size > 1e-10 and _barrier(q + size * step, same, sharpness) > before - 0.1 * size * decrement:
                size /= 2
            q = q + size * step
        if len(q) / sharpness < tolerance:
            break
        sharpness *= 20
    return q


def _barrier(q: Array, same: Array, sharpness: float) -> float:
    return float(sharpness * (q * np.log(q / (same @ q))).sum() - np.log(q).sum())


def _information(joint: Array) -> float:
    """I(X; Y) in bits of p(x, y) (X, Y)."""
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / independent[there])).sum())
