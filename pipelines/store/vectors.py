"""The vectors of a store in memory, one index per stream and space, kept up with what the writer commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from pipelines.packet import Modality
from pipelines.protocols import Index, Vector
from pipelines.store.reader import Found, Reader, Rows, Space

IndexFactory: TypeAlias = Callable[[int], Index]
"""Makes an empty index for vectors of the given dimension."""


REMEMBERED = 32_768  # views kept in memory, about 1 kB each


class _Name(NamedTuple):
    stream: str
    modality: Modality
    dimension: int  # another model's vectors are another index, which no question of this model's reaches


class _Followed:
    """One space as far as it was read."""

    def __init__(self) -> None:
        self.indexes: dict[_Name, Index] = {}
        self.last_key = 0
        self.last_change = 0
        self.version: int | None = None


class VectorIndexes:
    """Loads a space when it is first asked for and follows the store from then on. One thread at a time."""

    def __init__(self, reader: Reader, factory: IndexFactory) -> None:
        self._reader = reader
        self._factory = factory
        self._spaces: dict[Space, _Followed] = {}
        self._seen: dict[int, Found] = {}  # a view never changes and its key never comes again

    def nearest(
        self,
        space: Space,
        modality: Modality,
        vector: Vector,
        k: int,
        *,
        between: tuple[int, int] | None,
        streams: Sequence[str] | None,
    ) -> list[tuple[int, float]]:
        """The k views of `modality` nearest to `vector` as (view key, cosine), best first."""
        found = [
            hit
            for name, index in self.follow(space).indexes.items()
            if name.modality == modality
            and name.dimension == vector.size
            and (streams is None or name.stream in streams)
            for hit in index.query(vector, k, between)
        ]
        found.sort(key=lambda hit: (-hit[1], hit[0]))
        return found[:k]

    def views(self, nearest: Sequence[tuple[int, float]]) -> list[tuple[Found, float]]:
        """What `nearest` found, in its order; a view that was dropped meanwhile is left out."""
        missing = [key for key, _ in nearest if key not in self._seen]
        if missing:
            if len(self._seen) > REMEMBERED:
                self._seen = {key: self._seen[key] for key, _ in nearest if key in self._seen}
            self._seen |= self._reader.views(missing)
        return [(self._seen[key], score) for key, score in nearest if key in self._seen]

    def follow(self, space: Space) -> _Followed:
        """Take in what was committed since the last call."""
        if self._reader.replaced():
            self._spaces.clear()
            self._seen.clear()
        followed = self._spaces.setdefault(space, _Followed())
        version = self._reader.version()
        if version == followed.version:
            return followed
        if followed.version is None:
            followed.last_change = self._reader.last_change()
        else:
            followed = self._forget_deleted(space, followed)
        for rows in self._reader.vectors(space, followed.last_key):
            self._add(followed, rows)
        followed.version = version
        return followed

    def _forget_deleted(self, space: Space, followed: _Followed) -> _Followed:
        gone = self._reader.gone(followed.last_change)
        if gone is None:  # too long not followed: read anew
            followed = self._spaces[space] = _Followed()
            followed.last_change = self._reader.last_change()
            return followed
        keys, followed.last_change = gone
        for index in followed.indexes.values():
            for key in keys:
                index.remove(key)
        return followed

    def _add(self, followed: _Followed, rows: Rows) -> None:
        places: dict[_Name, list[int]] = {}
        for place, (stream, modality, vector) in enumerate(
            zip(rows.streams, rows.modalities, rows.vectors, strict=True)
        ):
            places.setdefault(_Name(stream, modality, len(vector) // 2), []).append(place)
        for name, chosen in places.items():
            index = followed.indexes.get(name)
            if index is None:
                index = followed.indexes[name] = self._factory(name.dimension)
            vectors = np.frombuffer(b"".join([rows.vectors[i] for i in chosen]), "<f2").reshape(-1, name.dimension)
            index.extend([rows.keys[i] for i in chosen], vectors, [rows.starts[i] for i in chosen])
        followed.last_key = rows.keys[-1]
