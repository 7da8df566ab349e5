"""The store in memory: a catalogue of all views, and their vectors, kept up with what the writer commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.packet import Modality
from pipelines.protocols import Index, Vector
from pipelines.store.catalogue import Catalogue
from pipelines.store.reader import Reader, Rows, Space

IndexFactory: TypeAlias = Callable[[int], Index]
"""Makes an empty index for vectors of the given dimension."""

WORTH_READING_ANEW = 16_384  # dead views, if they outnumber the living


class _Part(NamedTuple):
    """What is loaded at once: the shared space whole, since most questions are asked of all modalities; of the encoders'
    own spaces, which are larger, only the one that is asked for."""

    space: Space
    modality: Modality | None

    @classmethod
    def of(cls, space: Space, modality: Modality) -> _Part:
        return cls(space, modality if space == "native" else None)


class _Vectors:
    """One part as far as it was read; by modality and dimension, keyed by row of the catalogue."""

    def __init__(self) -> None:
        self.indexes: dict[tuple[str, int], Index] = {}
        self.last_key = 0


class Near(NamedTuple):
    """Rows of the catalogue with their cosines to a question, in no order."""

    rows: NDArray[np.int64]
    cosines: NDArray[np.floating]


class Memory:
    """Loads vectors when they are first asked for, and follows the store from then on.

    Vectors of moments whose model is not `comparable` are left out: a cosine between two models means nothing. Not
    thread-safe.

    Attributes:
        strangers: the models of the moments, where all are of models that are not `comparable`; else empty.
    """

    catalogue: Catalogue
    strangers: tuple[str, ...]
    _parts: dict[_Part, _Vectors]
    _own: NDArray[np.bool_]  # by moment: is it comparable
    _version: int | None
    _last_change: int
    _dead: int

    def __init__(self, reader: Reader, factory: IndexFactory, comparable: Callable[[str], bool]) -> None:
        self._reader = reader
        self._factory = factory
        self._comparable = comparable
        self._reset()

    def follow(self) -> None:
        """Take in what was committed since the last call."""
        if self._reader.replaced():
            self._reset()
        version = self._reader.version()
        if version == self._version:
            return
        if self._version is None:
            self._last_change = self._reader.last_change()
        elif not self._forget_deleted():
            self._reset()
            self.follow()
            return
        for views, moments in self._reader.views_after(self.catalogue.last_key):
            self.catalogue.extend(views, moments)
        for number, name in self._reader.names(len(self.catalogue.names) - 1):
            self.catalogue.names += [""] * (number - len(self.catalogue.names)) + [name]
        models = np.array([self._comparable(model) for model in self.catalogue.models.texts], bool)
        self._own = models[self.catalogue.model.values]
        self.strangers = self._strangers()
        self._version = version

    def near(
        self,
        space: Space,
        modality: Modality,
        vector: Vector,
        *,
        between: tuple[int, int] | None,
        streams: Sequence[str] | None,
    ) -> Near:
        """All views of `modality` that can be compared with `vector`; cosines within 1e-3 of the exact ones."""
        index = self._index(space, modality, vector.size)
        if index is None:
            return Near(np.zeros(0, np.int64), np.zeros(0, np.float32))
        rows, cosines = index.cosines(vector, between)
        if streams is not None:
            kept = np.isin(self.catalogue.stream.values[rows], self.catalogue.streams.which(streams))
            rows, cosines = rows[kept], cosines[kept]
        return Near(rows, cosines)

    def exact(self, space: Space, modality: Modality, vector: Vector, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The cosines of some of the rows that `near` found."""
        index = self._index(space, modality, vector.size)
        return np.zeros(0) if index is None else index.exact(vector, rows.tolist())

    def _reset(self) -> None:
        self.catalogue = Catalogue()
        self.strangers = ()
        self._parts = {}
        self._own = np.zeros(0, bool)
        self._version = None
        self._last_change = 0
        self._dead = 0

    def _strangers(self) -> tuple[str, ...]:
        live = self.catalogue.moment.values[self.catalogue.live.values]
        if self._own[live].any():
            return ()
        return tuple(self.catalogue.models.texts[code] for code in np.unique(self.catalogue.model.values[live]))

    def _forget_deleted(self) -> bool:
        """False where it is better to read all anew: too long not followed, or more dead than living."""
        gone = self._reader.gone(self._last_change)
        if gone is None:
            return False
        keys, self._last_change = gone
        rows = self.catalogue.rows_of(keys)
        self.catalogue.live.values[rows] = False
        for part in self._parts.values():
            for index in part.indexes.values():
                for row in rows.tolist():
                    index.remove(row)
        self._dead += len(rows)
        return self._dead < max(WORTH_READING_ANEW, len(self.catalogue.key) // 2)

    def _index(self, space: Space, modality: Modality, dimension: int) -> Index | None:
        name = _Part.of(space, modality)
        part = self._parts.setdefault(name, _Vectors())
        through = self.catalogue.last_key  # what came later is of views that the catalogue does not hold yet
        if part.last_key < through:
            for rows in self._reader.vectors(space, part.last_key, through, name.modality):
                self._add(part, rows)
            part.last_key = through
        return part.indexes.get((modality, dimension))

    def _add(self, part: _Vectors, found: Rows) -> None:
        catalogue = self.catalogue
        rows = np.searchsorted(catalogue.key.values, found.keys)
        moments = catalogue.moment.values[rows]
        wanted = catalogue.live.values[rows] & self._own[moments]
        sizes = np.fromiter(map(len, found.vectors), np.int64, len(rows)) // 2
        modalities = catalogue.modality.values[rows]
        for code, modality in enumerate(catalogue.modalities.texts):
            for dimension in np.unique(sizes[wanted & (modalities == code)]).tolist():
                chosen = np.flatnonzero(wanted & (modalities == code) & (sizes == dimension))
                index = part.indexes.get((modality, dimension))
                if index is None:
                    index = part.indexes[modality, dimension] = self._factory(dimension)
                index.extend(
                    rows[chosen].tolist(),
                    _stacked(found.vectors, chosen).reshape(-1, dimension),
                    catalogue.start.values[moments[chosen]].tolist(),
                )


def _stacked(vectors: Sequence[bytes], chosen: NDArray[np.int64]) -> NDArray[Any]:
    some = vectors if len(chosen) == len(vectors) else [vectors[place] for place in chosen.tolist()]
    return np.frombuffer(bytearray().join(some), "<f2")  # a bytearray, since arrays over bytes cannot be written to
