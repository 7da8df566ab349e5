"""A large segment of rows with a graph over them that names the rows near a question.

The graph is a hierarchy of small worlds (HNSW; Malkov and Yashunin, arXiv:1603.09320), built by usearch over int8 codes of
the rows. It only names candidates: exact sums over the float16 rows score and order them. A code takes half the memory that
a float16 vector in the graph would, and what rounding loses, the exact sums of a few more candidates give back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.retrieval.rows import Columns, Rows, one_thread

SCAN = 65_536
"""Rows up to which a scan of all (5 ms at 384 dimensions) is preferred to a graph whose answers are mostly filtered away."""

MOST = 4096
"""Candidates that a graph is asked for at most; where even these do not hold enough eligible rows, all are scanned."""


class Shape(NamedTuple):
    """How a graph is built (see the paper): links per row, and rows looked at when a row is put in."""

    connectivity: int
    expansion_add: int


class Graph:
    """Up to `capacity` rows by key. Removed rows stay in the graph as waymarks and are never given out. Not thread-safe."""

    def __init__(self, dimension: int, capacity: int, shape: Shape) -> None:
        self.rows = Rows(dimension, capacity)
        self._numbers: dict[int, int] = {}  # key -> row
        self._dimension = dimension
        self._shape = shape
        self._mapped = False
        self._graph: Any = _usearch()(
            ndim=dimension,
            metric="cos",
            dtype="i8",
            connectivity=shape.connectivity,
            expansion_add=shape.expansion_add,
            enable_key_lookups=False,
        )

    def __len__(self) -> int:
        return self.rows.live

    def __contains__(self, key: int) -> bool:
        return key in self._numbers

    def append(self, keys: Sequence[int], vectors: NDArray[np.float16], times: NDArray[np.int64], threads: int) -> int:
        """Put in as many rows, at length 1, as there is room for; returns how many. Some 2,000 a second and core.

        With more than one thread the links depend on which is faster.
        """
        if self._mapped:  # links that lie in a file cannot grow, and the file may be gone by now
            self._graph = _usearch().restore(self._graph.save(), view=False)
            self._graph.expansion_add = self._shape.expansion_add
            self._mapped = False
        first = self.rows.used
        taken = self.rows.append(keys, vectors, times)
        numbers = np.arange(first, first + taken)
        self._graph.add(numbers, codes(vectors[:taken]), threads=threads or os.cpu_count() or 1)
        self._numbers.update(zip(keys[:taken], numbers.tolist(), strict=True))
        return taken

    def remove(self, key: int) -> None:
        """A key that is not there is no error."""
        row = self._numbers.pop(key, None)
        if row is not None:
            self.rows.kill(row)

    def query(
        self, question: NDArray[np.float64], k: int, between: tuple[int, int] | None, expansion: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Keys and cosines of the k best and of some more, in no order.

        Rows that are dead or out of `between` are passed over: the graph is asked for so many more. Where few rows are
        eligible, or the best ones of the graph hold too few of them, all eligible rows are scanned.
        """
        inside = self.rows.count(between)
        rows = self._named(question, k, between, inside, expansion) if inside > SCAN else None
        if rows is None:
            rows, scores = self.rows.best(question, k, between)
        else:
            scores = self.rows.exact(rows, question)
        return self.rows.keys[rows], scores

    def cosines(
        self, question: NDArray[np.float64], between: tuple[int, int] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Keys of all eligible rows and their cosines, within 1e-3."""
        with torch.inference_mode(), one_thread():
            rows, cosines = self.rows.rough(torch.from_numpy(question).half(), between)
        return self.rows.keys[rows], cosines.astype(np.float32)

    def exact(self, question: NDArray[np.float64], keys: Sequence[int]) -> NDArray[np.float64]:
        """Cosines of rows that are there."""
        return self.rows.exact(np.array([self._numbers[key] for key in keys], np.int64), question)

    def save(self, path: Path) -> Columns:
        """Write the links to `path`; returns the rows, which `load` needs beside it."""
        self._graph.save(str(path))
        return self.rows.held()

    @classmethod
    def load(cls, path: Path, columns: Columns, dimension: int, capacity: int, shape: Shape) -> Graph:
        """From what `save` wrote; the links stay in the file, mapped, until a row is put in."""
        graph = cls(dimension, capacity, shape)
        graph._graph = _usearch().restore(str(path), view=True)
        graph._mapped = True
        graph.rows = Rows(dimension, capacity, held=columns)
        living = np.flatnonzero(graph.rows.living)
        graph._numbers = dict(zip(graph.rows.keys[living].tolist(), living.tolist(), strict=True))
        return graph

    def _named(
        self, question: NDArray[np.float64], k: int, between: tuple[int, int] | None, inside: int, expansion: int
    ) -> NDArray[np.int64] | None:
        """Eligible rows that the graph names, at least k and some more where there are as many; None where it cannot."""
        wanted = 2 * k + 12  # codes round cosines by some thousandths: the best k are among a few more
        needed = min(k + 6, inside)
        code = codes(question[None])[0]
        count = int(wanted * self.rows.used / inside)
        while count <= MOST:
            self._graph.expansion_search = max(expansion, count)
            found = self._graph.search(code, count, threads=1)
            rows = self.rows.within(found.keys.astype(np.int64), between)
            if len(rows) >= needed:
                return rows[:wanted]
            count *= 4
        return None


def codes(vectors: NDArray[np.floating]) -> NDArray[np.int8]:
    """(n, D) -> (n, D), each row by its own largest number; a cosine does not change with a row's length."""
    whole = np.asarray(vectors, np.float32)
    largest = np.abs(whole).max(1, keepdims=True)  # (n, D) -> (n, 1)
    return np.rint(whole * (127.0 / np.where(largest > 0, largest, 1.0))).astype(np.int8)


def _usearch() -> Any:
    from usearch.index import Index

    return Index
