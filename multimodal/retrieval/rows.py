"""Vectors held as float16 rows, each with a key and an instant: the part of every index that is scanned row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.errors import InputError

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by name, as long as there are rows."""

MARGIN = 64
"""Rows beside the k best that a float16 product names and exact sums decide about."""

FEW = 128
"""Rows up to which numpy turns float16 into float64 sooner than torch does."""

AS_IT_IS = 2e-4  # how far from 1 the length of a float16 row may be: four times what rounding makes of a unit vector


class Rows:
    """Up to `capacity` rows; a row keeps its number, also when it is dead. Not thread-safe.

    Attributes:
        vectors: float16 (room, D), the first `used` rows of it; room grows to the capacity when a row is appended.
        keys, times: int64 (room,). living: bool (room,).
        used: rows that were ever appended. live: those of them that were not killed.
    """

    vectors: NDArray[np.float16]
    keys: NDArray[np.int64]
    times: NDArray[np.int64]
    living: NDArray[np.bool_]

    used: int
    live: int

    def __init__(self, dimension: int, capacity: int, *, held: Columns | None = None) -> None:
        self.capacity = capacity
        self.used = self.live = 0
        self._ordered = True
        if held is None:
            self._take(_room(capacity, dimension))
        else:
            self._take(held)
            self.used = len(self.keys)
            self.live = int(self.living.sum())
            self._ordered = bool((np.diff(self.times) >= 0).all())

    @property
    def full(self) -> bool:
        return self.used == self.capacity

    def held(self) -> Columns:
        """All that makes it up, dead rows too, as the constructor takes it."""
        return {name: getattr(self, name)[: self.used] for name in _COLUMNS}

    def append(self, keys: Sequence[int], vectors: NDArray[np.float16], times: NDArray[np.int64]) -> int:
        """Take as many rows, at length 1, as there is room for; returns how many."""
        taken = min(len(keys), self.capacity - self.used)
        if taken == 0:
            return 0
        if len(self.keys) < self.capacity:
            old = self.held()  # read from a file, maybe mapped from it
            self._take(_room(self.capacity, self.vectors.shape[1]))
            for name, column in old.items():
                getattr(self, name)[: self.used] = column
        rows = slice(self.used, self.used + taken)
        self.vectors[rows] = vectors[:taken]
        self.keys[rows] = keys[:taken]
        self.times[rows] = times[:taken]
        self.living[rows] = True
        since = self.times[max(self.used - 1, 0) : self.used + taken]
        self._ordered = self._ordered and bool((np.diff(since) >= 0).all())
        self.used += taken
        self.live += taken
        return taken

    def kill(self, row: int) -> None:
        self.living[row] = False
        self.live -= 1

    def remaining(self, most: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.int64]]:
        """Keys, vectors and times of the first `most` living rows."""
        rows = np.flatnonzero(self.living[: self.used])[:most]
        return self.keys[rows], self.vectors[rows], self.times[rows]

    def eligible(self, between: tuple[int, int] | None) -> NDArray[np.int64]:
        """The living rows in [start, end)."""
        if between is None:
            return np.flatnonzero(self.living[: self.used])
        times = self.times[: self.used]
        if self._ordered:  # the usual case: what is indexed comes in order of time
            first, last = (int(place) for place in np.searchsorted(times, between))
            return np.flatnonzero(self.living[first:last]) + first
        return np.flatnonzero(self.living[: self.used] & (times >= between[0]) & (times < between[1]))

    def count(self, between: tuple[int, int] | None) -> int:
        """How many rows are eligible."""
        if between is None:
            return self.live
        if self._ordered and self.live == self.used:
            first, last = (int(place) for place in np.searchsorted(self.times[: self.used], between))
            return max(last - first, 0)
        return len(self.eligible(between))

    def within(self, rows: NDArray[np.int64], between: tuple[int, int] | None) -> NDArray[np.int64]:
        """Those of `rows` that are eligible."""
        kept = self.living[rows]
        if between is not None:
            kept = kept & (self.times[rows] >= between[0]) & (self.times[rows] < between[1])
        return rows[kept]

    def rough(
        self, half: torch.Tensor, between: tuple[int, int] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """The eligible rows and their cosines to `half` (D,) in float16; the product is over the slice that holds them."""
        rows = self.eligible(between)
        if not rows.size:
            return rows, np.zeros(0, np.float16)
        first, last = int(rows[0]), int(rows[-1]) + 1
        cosines: NDArray[np.float16] = torch.mv(self._tensor[first:last], half).numpy()
        return rows, cosines if rows.size == last - first else cosines[rows - first]

    def exact(self, rows: NDArray[np.int64], question: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cosines of some rows to `question` (D,) of length 1, summed in float64."""
        if len(rows) <= FEW:  # the same numbers, without what a call of torch costs
            chosen = self.vectors[rows].astype(np.float64)
        else:
            chosen = self._tensor[torch.from_numpy(rows)].double().numpy()
        found: NDArray[np.float64] = np.einsum("rd,d->r", chosen, question)
        return found

    def best(
        self, question: NDArray[np.float64], k: int, between: tuple[int, int] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The k best rows and a margin, in no order: a float16 product names them, exact sums give their cosines."""
        with torch.inference_mode(), one_thread():
            rows, cosines = self.rough(torch.from_numpy(question).half(), between)
            rows = highest(rows, cosines, k)
            return rows, self.exact(rows, question)

    def _take(self, columns: Columns) -> None:
        self.vectors, self.keys, self.times, self.living = (columns[name] for name in _COLUMNS)
        self._tensor = torch.from_numpy(self.vectors)


_COLUMNS = ("vectors", "keys", "times", "living")


def _room(capacity: int, dimension: int) -> Columns:
    """Its pages cost nothing before they are written to."""
    return {
        "vectors": np.zeros((capacity, dimension), np.float16),
        "keys": np.zeros(capacity, np.int64),
        "times": np.zeros(capacity, np.int64),
        "living": np.zeros(capacity, bool),
    }


def highest(places: NDArray[np.int64], cosines: NDArray[np.float16], k: int) -> NDArray[np.int64]:
    """The places of the k highest cosines and of `MARGIN` more, in no order."""
    if places.size <= k + MARGIN:
        return places
    return places[np.argpartition(cosines, places.size - k - MARGIN)[-(k + MARGIN) :]]


def unit(vectors: NDArray[np.floating], dimension: int) -> NDArray[np.float16]:
    """(n, D) at length 1; float16 rows that all are as good as that are left as they are."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(f"vectors of shape {vectors.shape}; this index holds {dimension} dimensions a row")
    if vectors.dtype not in (np.float16, np.float32):
        vectors = vectors.astype(np.float32)
    held = torch.from_numpy(np.require(vectors, requirements=["C", "W"]))  # whose float16 is many times as fast
    with torch.inference_mode(), one_thread():
        lengths = torch.linalg.vector_norm(held, dim=1, keepdim=True, dtype=torch.float32)  # (n, D) -> (n, 1)
        if not bool(torch.isfinite(lengths).all()):
            raise InputError("a vector with a number that is not finite cannot be searched for")
        if held.dtype != torch.float16 or bool(((lengths - 1).abs() > AS_IT_IS).any()):
            held = (held.float() / torch.where(lengths > 0, lengths, 1)).half()
    rows: NDArray[np.float16] = held.numpy()
    return rows


def direction(vector: NDArray[np.floating], dimension: int) -> NDArray[np.float64] | None:
    """A question (D,) at length 1; None for one that has no direction."""
    question = np.asarray(vector, np.float64).reshape(-1)
    if question.shape != (dimension,):
        raise InputError(f"a question of {question.size} numbers cannot be asked of {dimension} dimensions")
    length = float(np.linalg.norm(question))
    return question / length if np.isfinite(length) and length > 0.0 else None


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread reads memory as fast as two do, and does not wait for a second one on a busy machine."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
