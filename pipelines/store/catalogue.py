"""What search must know of every view, in memory as columns: some 120 bytes a view, and its moment's id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.store.labels import label_columns
from pipelines.store.reader import MomentColumns, ViewColumns


class Column:
    """An array that grows at its end."""

    def __init__(self, dtype: type[np.generic], length: int = 0) -> None:
        self._room: NDArray[Any] = np.zeros(length, dtype)
        self._used = length

    def __len__(self) -> int:
        return self._used

    @property
    def values(self) -> NDArray[Any]:
        """What it holds; writing to it writes here."""
        return self._room[: self._used]

    def extend(self, values: ArrayLike) -> None:
        """Add some behind the others."""
        added = np.asarray(values, self._room.dtype)
        needed = self._used + len(added)
        if needed > len(self._room):
            room = np.zeros(max(needed, len(self._room) * 3 // 2), self._room.dtype)
            room[: self._used] = self.values
            self._room = room
        self._room[self._used : needed] = added
        self._used = needed


class Codes:
    """Small numbers for texts, in the order of their first coming."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        for text in dict.fromkeys(texts):
            self._of.setdefault(text, len(self._of))
        return np.fromiter(map(self._of.__getitem__, texts), np.int32, len(texts))

    def which(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of those that ever came."""
        return np.array([self._of[text] for text in texts if text in self._of], np.int32)

    @property
    def texts(self) -> list[str]:
        """By number."""
        return list(self._of)


class Catalogue:
    """Views and their moments by row, in the order of their keys; the number of a row never changes.

    Attributes:
        key, moment, stream, modality, quality, live: of each view; its moment as a row, stream and modality as numbers.
        labels, probabilities: of each view by place, most probable first; a label is a place in `names`.
        ids, start, end, group, model: of each moment; group and model as numbers, times in ns.
    """

    def __init__(self) -> None:
        self.streams, self.modalities, self.groups, self.models = Codes(), Codes(), Codes(), Codes()
        self.names = [""]
        self.key, self.moment = Column(np.int64), Column(np.int32)
        self.stream, self.modality = Column(np.int32), Column(np.int32)
        self.quality, self.live = Column(np.float32), Column(np.bool_)
        self.labels: list[Column] = []
        self.probabilities: list[Column] = []
        self.ids: list[str] = []
        self.start, self.end = Column(np.int64), Column(np.int64)
        self.group, self.model = Column(np.int32), Column(np.int32)
        self._moment_key = Column(np.int64)

    @property
    def last_key(self) -> int:
        """Of the newest view it ever held."""
        return int(self.key.values[-1]) if len(self.key) else 0

    def extend(self, views: ViewColumns, moments: MomentColumns) -> None:
        """Add what came behind what it holds. A view without a moment is dead: both were deleted while this was read."""
        self._add_moments(moments)
        known = self._moment_key.values
        rows = np.searchsorted(known, views.moments)
        inside = np.minimum(rows, len(known) - 1)
        live = known[inside] == views.moments if len(known) else np.zeros(len(rows), bool)
        self.key.extend(views.keys)
        self.moment.extend(inside)
        self.stream.extend(self.streams(views.streams))
        self.modality.extend(self.modalities(views.modalities))
        self.quality.extend(views.qualities)
        self.live.extend(live)
        columns = label_columns(views.labels)
        while len(self.labels) < len(columns.numbers):
            before = len(self.key) - len(views.keys)
            self.labels.append(Column(np.int32, before))
            self.probabilities.append(Column(np.float32, before))
        nothing = np.zeros(len(views.keys))
        for place, (labels, probabilities) in enumerate(zip(self.labels, self.probabilities, strict=True)):
            some = place < len(columns.numbers)
            labels.extend(columns.numbers[place] if some else nothing)
            probabilities.extend(columns.probabilities[place] if some else nothing)

    def rows_of(self, keys: Sequence[int]) -> NDArray[np.int64]:
        """The rows of those of these views that it holds and that live."""
        known = self.key.values
        if not len(known):
            return np.zeros(0, np.int64)
        rows = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.asarray(rows[(known[rows] == keys) & self.live.values[rows]], np.int64)

    def _add_moments(self, moments: MomentColumns) -> None:
        last = int(self._moment_key.values[-1]) if len(self._moment_key) else 0
        new = slice(int(np.searchsorted(moments.keys, last, "right")), None)  # a moment's views may come in two parts
        self._moment_key.extend(moments.keys[new])
        self.ids += moments.ids[new]
        self.start.extend(moments.starts[new])
        self.end.extend(moments.ends[new])
        self.group.extend(self.groups(moments.groups[new]))
        self.model.extend(self.models(moments.models[new]))
