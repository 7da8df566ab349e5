"""The training-free fusion: text and sound look at the picture, then all are averaged by their quality.

The picture encoder places every cell of the picture in the shared space, so "where in the picture is what I hear?" is a
softmax over cosines. The picture enters the mean as seen through that attention: what is shown is what was used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from multimodal.embeddings.minilm import WIDTH
from multimodal.fusion.window import Floats, FusionResult, Window
from multimodal.types import ModalityEmbedding, ModalityType

TEMPERATURE = 0.05


@dataclass(slots=True)
class Stream:
    """The readable entries of one stream."""

    vector: Floats
    """Quality-weighted mean, unit length, before any attention."""
    weight: float
    """Mean quality over all entries, the unreadable counting 0."""
    entries: list[ModalityEmbedding]


@dataclass(slots=True)
class Looked:
    """One window before the mean."""

    window: Window
    streams: dict[str, Stream]
    """What can be read, by name, in the order of the names."""
    seen: dict[str, Floats]
    """Each stream's vector as it enters the mean: a picture as the others see it, where somebody looks."""
    attention: dict[tuple[str, str], Floats]


class MeanFusion:
    """Quality-weighted mean of text, sound and the attended picture.

    - A stream's vector is the mean of its entries weighted by their quality; its weight is its mean quality, an entry that
      could not be read counting 0.
    - Each text or sound stream asks each picture stream: softmax over all cells of all its pictures of
      cosine / temperature + log(quality of the picture). The map shown is summed over the pictures.
    - A picture stream enters the mean as its cells weighted by the mean of its questioners' maps; where nobody asks, as it
      is (its encoder pools plainly).

    One window at a time, in numpy and without threaded products: the same bits whatever else is being computed.

    Args:
        temperature: of the softmax over cosines.
        width: D, dimensions of the space that the streams share.
    """

    def __init__(self, *, temperature: float = TEMPERATURE, width: int = WIDTH) -> None:
        self.temperature, self.width = temperature, width

    def __call__(self, window: Window) -> FusionResult:
        """See `FusionResult`; never NaN, and zeros where every quality is 0."""
        return self.joined(self.look(window))

    def look(self, window: Window) -> Looked:
        """Who can be read, and the pictures as text and sound see them."""
        streams = {name: s for name in sorted(window) if (s := _stream(window[name], self.width)) is not None}
        pictures = {name: s for name, s in streams.items() if s.entries[0].modality is ModalityType.IMAGE}
        askers = {name: s for name, s in streams.items() if name not in pictures}
        attention: dict[tuple[str, str], Floats] = {}
        seen = {name: stream.vector for name, stream in streams.items()}
        for name, picture in pictures.items():
            looked = self._look(picture, [stream.vector for stream in askers.values()])
            if looked is None:
                continue
            seen[name], maps = looked
            attention.update({(asker, name): shown for asker, shown in zip(askers, maps, strict=True)})
        return Looked(window, streams, seen, attention)

    def joined(self, looked: Looked) -> FusionResult:
        """The mean of what was looked at."""
        streams = looked.streams
        total = sum(stream.weight for stream in streams.values())
        if not streams or total <= 0:
            return FusionResult(np.zeros(self.width, np.float32), coherence=0.0)
        fused = np.zeros(self.width, np.float32)
        for name, stream in streams.items():
            fused += np.float32(stream.weight) * looked.seen[name]
        alignment = {
            f"{a}|{b}": float((streams[a].vector * streams[b].vector).sum()) for a, b in combinations(streams, 2)
        }
        shares = {name: streams[name].weight / total if name in streams else 0.0 for name in sorted(looked.window)}
        return FusionResult(
            vector=unit(fused),
            contributions=shares,
            alignment=alignment,
            coherence=sum(alignment.values()) / len(alignment) if alignment else 1.0,
            attention=looked.attention,
        )

    def _look(self, picture: Stream, questions: Sequence[Floats]) -> tuple[Floats, list[Floats]] | None:
        """The picture as the questions (each (D,)) see it, and each one's map; None where nobody asks."""
        entries = [entry for entry in picture.entries if "grid" in entry.metadata]
        if not questions or not entries:
            return None
        rows, columns = entries[0].metadata["grid"]
        cells = np.concatenate([entry.features.numpy() for entry in entries])  # (pictures * cells, D)
        prior = np.repeat(np.log(np.array([entry.quality_score for entry in entries], np.float32)), rows * columns)
        weights = [self._attend(cells, prior, question) for question in questions]
        pooled = (_mean(weights)[:, None] * cells).sum(0)
        return unit(pooled), [w.reshape(len(entries), rows, columns).sum(0) for w in weights]

    def _attend(self, cells: Floats, prior: Floats, question: Floats) -> Floats:
        logits = (cells * question).sum(1) / np.float32(self.temperature) + prior  # (pictures * cells,)
        weights: Floats = np.exp(logits - logits.max())
        weights /= weights.sum()
        return weights


def _stream(entries: Sequence[ModalityEmbedding], width: int) -> Stream | None:
    """None where no entry can be read or has any quality."""
    readable = [entry for entry in entries if entry.error is None and entry.quality_score > 0]
    if not readable:
        return None
    vector = np.zeros(width, np.float32)
    for entry in readable:
        vector += np.float32(entry.quality_score) * entry.embedding.numpy()
    return Stream(unit(vector), sum(entry.quality_score for entry in readable) / len(entries), readable)


def _mean(rows: Iterable[Floats]) -> Floats:
    stacked: Floats = np.mean(np.stack(list(rows)), axis=0)
    return stacked


def unit(vector: Floats) -> Floats:
    """Of length 1; zeros stay zeros."""
    length = np.sqrt((vector * vector).sum())
    return vector / length if length > 0 else vector
