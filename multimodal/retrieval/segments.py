"""Search by cosine over up to millions of vectors: large segments with a graph each, beside a tail that is scanned.

    tail     rows not yet in a graph, newest last; every question scans them (7 ms for 100,000 at 384 dimensions)
    graphs   segments of fixed size, a million rows by default; the last one takes the rows of the tail

Up to `exact_until` rows all of them are tail, so every answer is exact. An `add` beyond that takes two rows from the tail
into the graph, about a millisecond, until the tail is short: nobody waits for a rebuild. `extend` only stores; after a bulk
load `build` puts all rows into graphs, with its progress told. Segments are of fixed size so that what is deleted in order
of time frees whole segments; one in which few rows live is scanned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import InputError
from multimodal.retrieval.graph import Graph, Shape
from multimodal.retrieval.index import ExactIndex, Hit, best_of
from multimodal.retrieval.rows import direction
from multimodal.retrieval.saving import Reader, Writer, opened, written

TAIL = 2048
"""Rows that stay in the tail once there is a graph; scanning them takes .15 ms."""

CHUNK = 4096
"""Rows that `build` puts in between two calls of its progress."""

KIND = "index"


class SegmentedIndex:
    """Vectors of one dimension by integer key, each at an instant (ns). Not thread-safe.

    As `ExactIndex`: vectors of any length, cosines of what float16 keeps of them, and the score of an answer is exact; which
    rows are found is exact in the tail and nearly so in a graph (`sensorium bench index` has the recall).

    Args:
        dimension: D.
        exact_until: rows up to which no graph is begun.
        segment_rows: rows of a graph.
        expansion: rows that a graph looks at per question; more finds more and takes longer, both slowly.
        connectivity, expansion_add: of the graphs, see `Shape`; memory and time to build.
        threads: that build; 0 for all processors, 1 for links that are the same on every run.
    """

    def __init__(
        self,
        dimension: int,
        *,
        exact_until: int = 100_000,
        segment_rows: int = 2**20,
        expansion: int = 64,
        connectivity: int = 16,
        expansion_add: int = 128,
        threads: int = 0,
    ) -> None:
        if min(segment_rows, expansion, connectivity, expansion_add) < 1 or min(exact_until, threads) < 0:
            raise InputError(
                "segment_rows, expansion, connectivity and expansion_add are above 0, exact_until and threads not below 0: "
                f"{segment_rows}, {expansion}, {connectivity}, {expansion_add}, {exact_until}, {threads}"
            )
        self.dimension = dimension
        self.exact_until, self.segment_rows, self.expansion, self.threads = exact_until, segment_rows, expansion, threads
        self._shape = Shape(connectivity, expansion_add)
        self._tail = ExactIndex(dimension)
        self._graphs: list[Graph] = []

    def __len__(self) -> int:
        return len(self._tail) + sum(len(graph) for graph in self._graphs)

    def __contains__(self, key: int) -> bool:
        return key in self._tail or any(key in graph for graph in self._graphs)

    @property
    def waiting(self) -> int:
        """Rows that are in no graph."""
        return len(self._tail)

    def add(self, key: int, vector: NDArray[np.floating], timestamp: int) -> None:
        """Add one row; a key that is there already gets the new vector."""
        self.extend([key], np.asarray(vector)[None], [timestamp])
        if self.waiting > (TAIL if self._graphs else self.exact_until):
            self._absorb(2)

    def extend(self, keys: Sequence[int], vectors: NDArray[np.floating], timestamps: Sequence[int]) -> None:
        """Add many rows to the tail; of a key that comes twice the last vector stays. vectors: (n, D)."""
        self._tail.extend(keys, vectors, timestamps)  # first, since it may refuse them
        for graph in self._graphs:
            for key in keys:
                graph.remove(key)

    def remove(self, key: int) -> None:
        """Take a row away; a key that is not there is no error."""
        self._tail.remove(key)
        for graph in self._graphs:
            graph.remove(key)
        self._graphs = [graph for graph in self._graphs if len(graph) or not graph.rows.full]

    def build(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Put all rows of the tail into graphs; some 2,000 rows a second and core.

        `progress` is told rows done and rows in all, every `CHUNK` rows. When it raises, the index is as far as it was told
        and whole.
        """
        total = len(self._tail)
        while len(self._tail):
            self._absorb(CHUNK)
            if progress is not None:
                progress(total - len(self._tail), total)

    def query(self, vector: NDArray[np.floating], k: int, between: tuple[int, int] | None = None) -> list[Hit]:
        """The k rows nearest to `vector`, best first (of equal ones the lowest key); `between` = [start, end) in ns."""
        if not self._graphs:
            return self._tail.query(vector, k, between)
        question = direction(vector, self.dimension)
        if k < 1 or question is None:
            return []
        parts = [graph.query(question, k, between, self.expansion) for graph in self._graphs]
        if len(self._tail) and (found := self._tail.query(vector, k, between)):
            parts.append((np.array([hit.key for hit in found], np.int64), np.array([hit.score for hit in found])))
        if len(parts) == 1:
            return best_of(*parts[0], k)
        return best_of(np.concatenate([keys for keys, _ in parts]), np.concatenate([scores for _, scores in parts]), k)

    def cosines(
        self, vector: NDArray[np.floating], between: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Keys of all rows, in no promised order, and their cosines to `vector`, within 1e-3 of the exact ones: a scan."""
        parts = [self._tail.cosines(vector, between)]
        question = direction(vector, self.dimension)
        if question is not None:
            parts += [graph.cosines(question, between) for graph in self._graphs]
        return np.concatenate([keys for keys, _ in parts]), np.concatenate([cosines for _, cosines in parts])

    def exact(self, vector: NDArray[np.floating], keys: Sequence[int]) -> NDArray[np.float64]:
        """The cosines of these rows. Raises KeyError for a key that is not there."""
        scores = np.empty(len(keys))
        question = direction(vector, self.dimension)
        if question is None:
            return np.zeros(len(keys))
        left = np.arange(len(keys))
        for graph in self._graphs:
            mine = np.array([place for place in left.tolist() if keys[place] in graph], np.int64)
            scores[mine] = graph.exact(question, [keys[place] for place in mine.tolist()])
            left = np.setdiff1d(left, mine)
        scores[left] = self._tail.exact(vector, [keys[place] for place in left.tolist()])
        return scores

    def save(self, path: str | Path) -> None:
        """Write all to a folder, in the place of what it held, at once or not at all."""
        with written(path, KIND) as out:
            self.write(out, "index")

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> SegmentedIndex:
        """What `save` wrote; rows and links of graphs stay in their files, mapped, until one is added to.

        Without `verify` only the sizes of the files are checked, so that nothing is read before it is needed; a file that was
        changed is then not noticed, and a changed graph can end the process.

        Raises:
            InputError: no such folder, not one of an index, or a damaged one.
        """
        return cls.read(opened(path, KIND, verify=verify), "index")

    def write(self, out: Writer, name: str) -> None:
        """As a part of a larger folder."""
        out.arrays(f"{name}.tail", self._tail.held())
        for number, graph in enumerate(self._graphs):
            columns = graph.save(out.file(f"{name}.graph{number}.usearch"))
            out.arrays(f"{name}.graph{number}", columns)
        document = {
            "dimension": self.dimension,
            "exact_until": self.exact_until,
            "segment_rows": self.segment_rows,
            "expansion": self.expansion,
            "threads": self.threads,
            **self._shape._asdict(),
        }
        out.document(name, {"options": document, "graphs": len(self._graphs)})

    @classmethod
    def read(cls, source: Reader, name: str) -> SegmentedIndex:
        """What `write` wrote."""
        document = source.document(name)
        index = cls(**document["options"])
        index._tail = ExactIndex.from_held(index.dimension, source.arrays(f"{name}.tail"))
        for number in range(document["graphs"]):
            part = f"{name}.graph{number}"
            index._graphs.append(Graph.load(
                source.file(f"{part}.usearch"), source.arrays(part), index.dimension, index.segment_rows, index._shape
            ))  # fmt: skip
        return index

    def _absorb(self, most: int) -> None:
        """Take rows that have waited longest into the last graph, or a new one."""
        keys, vectors, times = self._tail.first(most)
        done = 0
        while done < len(keys):
            if not self._graphs or self._graphs[-1].rows.full:
                self._graphs.append(Graph(self.dimension, self.segment_rows, self._shape))
            threads = self.threads if len(keys) > 2 else 1
            taken = self._graphs[-1].append(keys[done:], vectors[done:], times[done:], threads)
            for key in keys[done : done + taken]:
                self._tail.remove(key)
            done += taken
