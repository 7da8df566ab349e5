"""What a fusion learns from: moments, each with the vectors of the modalities that it has.

Shapes: N moments, M modalities (sorted by name), D dimensions of the shared space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from multimodal.errors import InputError
from multimodal.fusion.mean import MeanFusion, unit
from multimodal.fusion.window import Floats, Window

MODALITIES = ("audio", "image", "text")


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Encoded once and kept: what the learned fusion would be given, for every subset of a moment's modalities; 50 kB each.

    A place s in [0, 2^M) is the subset of those modalities m for which bit m of s is set.

    Attributes:
        modalities: M names, sorted.
        seen: (N, 2^M, M, D): unit vector of each modality as it enters the fusion when those of the subset are there - a
            picture is seen through the others' attention. Of use only where the modality is in the subset.
        quality: (N, M) in [0, 1]; 0 where a moment lacks the modality.
        mean: (N, 2^M, D): the training-free fusion of the subset, before it is brought to unit length; zeros where a moment
            has none of it.
        start, end: (N,) ns. recording: (N,), which recording a moment is of.
    """

    modalities: tuple[str, ...]
    seen: Tensor
    quality: Tensor
    mean: Tensor
    start: Tensor
    end: Tensor
    recording: Tensor

    def __len__(self) -> int:
        return len(self.start)

    @property
    def present(self) -> Tensor:
        """(N, M) bool."""
        return self.quality > 0

    def alone(self, rows: Tensor, modality: int) -> Tensor:
        """(B,) -> (B, D): what the encoder gave of one modality, as it is kept and searched; zeros where there is none."""
        return self.seen[rows, 1 << modality, modality]

    def asking(self, rows: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Of the modalities `asked` (B, M) of the moments `rows` (B,): their vectors (B, M, D) and their mean (B, D)."""
        place = (asked.long() << torch.arange(len(self.modalities), device=asked.device)).sum(1)
        return self.seen[rows, place], self.mean[rows, place]

    def together(self, rows: Tensor, others: Tensor) -> Tensor:
        """(B,), (C,) -> (B, C) bool: whether two moments share some of their time, in one recording."""
        a, b = rows[:, None], others[None]
        overlap = (self.start[a] < self.end[b]) & (self.start[b] < self.end[a])
        return overlap & (self.recording[a] == self.recording[b])

    def to(self, device: torch.device | str) -> Moments:
        return Moments(self.modalities, *(value.to(device) for value in self._tensors()))

    def digest(self) -> str:
        """Names these very moments: SHA-256 over all of it."""
        total = hashlib.sha256(repr(self.modalities).encode())
        for value in self._tensors():
            total.update(np.ascontiguousarray(value.cpu().numpy()).data)
        return total.hexdigest()

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.seen, self.quality, self.mean, self.start, self.end, self.recording


class Gathering:
    """Windows become moments one by one; what only the training-free fusion needs (a picture's cells) is let go at once.

    Args:
        training_free: what the learned fusion is a residual of.
        modalities: names; a window's other modalities are left out.
    """

    def __init__(self, training_free: MeanFusion | None = None, *, modalities: Sequence[str] = MODALITIES) -> None:
        self.modalities = tuple(sorted(modalities))
        self._fusion = training_free or MeanFusion()
        self._rows: list[tuple[Floats, Floats, Floats, tuple[int, int, int]]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, window: Window, *, start: int, end: int, recording: int = 0) -> None:
        """A window [start, end) in ns; one in which nothing can be read is left out."""
        count = len(self.modalities)
        seen: Floats | None = None
        for place in range(1, 1 << count):
            names = {name for number, name in enumerate(self.modalities) if place >> number & 1}
            part = {stream: entries for stream, entries in window.items() if entries and entries[0].modality in names}
            looked = self._fusion.look(part)
            if not looked.streams:
                continue
            if seen is None:
                dim = len(next(iter(looked.seen.values())))
                seen, mean = np.zeros((1 << count, count, dim), np.float32), np.zeros((1 << count, dim), np.float32)
                quality = np.zeros(count, np.float32)
            total = sum(stream.weight for stream in looked.streams.values())
            for number, name in enumerate(self.modalities):
                own = [s for s, stream in looked.streams.items() if stream.entries[0].modality == name]
                if not own:
                    continue
                weights = np.array([looked.streams[s].weight for s in own], np.float32)
                summed = (weights[:, None] * np.stack([looked.seen[s] for s in own])).sum(0)
                seen[place, number] = unit(summed)
                mean[place] += summed / np.float32(total)
                quality[number] = min(1.0, float(weights.mean()))
        if seen is not None:
            self._rows.append((seen, quality, mean, (start, end, recording)))

    def moments(self) -> Moments:
        """All that was added, by recording and time.

        Raises:
            InputError: nothing was.
        """
        if not self._rows:
            raise InputError("there is no moment to learn from: no window held anything that could be read")
        rows = sorted(self._rows, key=lambda row: (row[3][2], row[3][0], row[3][1]))
        times = torch.tensor([row[3] for row in rows], dtype=torch.int64)
        seen, quality, mean = (torch.from_numpy(np.stack(column)) for column in list(zip(*rows, strict=True))[:3])
        return Moments(self.modalities, seen, quality, mean, *times.unbind(1))


def from_vectors(
    views: Mapping[str, Sequence[tuple[int, Floats, float]]], times: Sequence[tuple[int, int, int]]
) -> Moments:
    """Of vectors that were kept, without the pictures' cells: the training-free fusion is the mean by quality.

    Args:
        views: by modality, (number of the moment, unit vector (D,), quality in [0, 1]) of each stream.
        times: of each moment, (start, end, recording), sorted by recording and start.
    """
    names = tuple(sorted(views))
    dim = next((len(row[1]) for rows in views.values() for row in rows), 0)
    if not times or not dim:
        raise InputError("there is no moment to learn from")
    total, weight = np.zeros((len(times), len(names), dim)), np.zeros((len(times), len(names)))
    count = np.zeros_like(weight)
    for place, name in enumerate(names):
        for moment, vector, worth in views[name]:
            total[moment, place] += worth * np.asarray(vector, np.float64)
            weight[moment, place] += worth
            count[moment, place] += 1
    mean = np.zeros((len(times), 1 << len(names), dim))
    for place in range(1, mean.shape[1]):
        members = [number for number in range(len(names)) if place >> number & 1]
        share = weight[:, members].sum(1, keepdims=True)
        mean[:, place] = total[:, members].sum(1) / np.where(share > 0, share, 1)
    length = np.sqrt((total * total).sum(-1, keepdims=True))
    vectors = torch.from_numpy(total / np.where(length > 0, length, 1)).float()
    seen = vectors[:, None].expand(-1, mean.shape[1], -1, -1)  # (N, M, D) -> (N, 2^M, M, D)
    quality = torch.from_numpy(weight / np.maximum(count, 1)).float()
    start, end, recording = torch.tensor(times, dtype=torch.int64).unbind(1)
    return Moments(names, seen, quality, torch.from_numpy(mean).float(), start, end, recording)


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from, to stop by and to judge by; none of them shares time with one of another part."""

    learned: Tensor
    stopped: Tensor
    judged: Tensor


def split_by_time(moments: Moments, *, stopped: float = 0.15, judged: float = 0.2, guard: int | None = None) -> Split:
    """The last part of each recording's time is judged, the part before it says when to stop, the rest is learned.

    Args:
        stopped, judged: shares of each recording's time.
        guard: ns between two parts, in which no window lies; the longest window's length where None. So windows that
            overlap never straddle, and a scene that goes on over a border is not met on both sides of it right away.

    Raises:
        InputError: a part is empty: there is too little time.
    """
    if not (0 < stopped < 1 and 0 < judged < 1 and stopped + judged < 1):
        raise InputError(f"the shares are in (0, 1) and leave something to learn, not {stopped} and {judged}")
    guard = int((moments.end - moments.start).max()) if guard is None else guard
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for recording in torch.unique(moments.recording):
        rows = (moments.recording == recording).nonzero()[:, 0]
        start, end = moments.start[rows], moments.end[rows]
        first, last = int(start.min()), int(end.max())
        borders = [last - round((last - first) * share) for share in (1.0, stopped + judged, judged)]
        for part, (begin, finish) in zip(parts, pairwise([*borders, last + guard]), strict=True):
            part.append(rows[(start >= begin) & (end <= finish - guard)])
    learned, checked, tested = (torch.cat(part) for part in parts)
    if not (len(learned) and len(checked) and len(tested)):
        seconds = int(moments.end.max() - moments.start.min()) / 1e9
        raise InputError(
            f"too little time to hold some back: {len(moments)} moments over {seconds:.0f} s leave "
            f"{len(learned)} to learn from, {len(checked)} to stop by and {len(tested)} to judge by"
        )
    return Split(learned, checked, tested)

