"""What all retrievers do: index, answer with confidences, delete, save and load. The named ones add their own methods."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from torch import Tensor

from multimodal.errors import ConfigError, InputError
from multimodal.retrieval.bridges import Bridge
from multimodal.retrieval.collection import NEVER, Collection, Item, Vectors, many_vectors, one_vector
from multimodal.retrieval.confidence import CalibrationFit, ScoreCalibration, fitted
from multimodal.retrieval.index import Hit
from multimodal.retrieval.saving import Reader, opened, written
from multimodal.types import ModalityEmbedding, ModalityType

Interval = tuple[int, int]
Right = int | Iterable[int]
Shipped = Literal["embedded"]

LOOKED_AT = 10
"""Results per question that a calibration learns from."""


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalResult:
    """One thing that was found.

    Attributes:
        retrieved_content: what was indexed, as it was given.
        similarity_score: cosine in [-1, 1], of vectors as float16 holds them.
        confidence_score: probability that it is a right answer, in [0, 1]; NaN where nothing was calibrated.
        metadata: as it was given; empty where none was.
        key: by which it can be deleted.
        modality: of it.
        timestamp: its instant in ns, or None.
    """

    retrieved_content: Any
    similarity_score: float
    confidence_score: float
    metadata: Mapping[str, Any]
    key: int
    modality: ModalityType
    timestamp: int | None


class Retriever(ABC):
    """Things of some modalities, found by vectors. Thread-safe: calls of one retriever take turns.

    Embeddings are (D,) tensors or arrays of any float type, on any device, of any length but zero; the index itself lies in
    memory, in float16. Results come best first and are never cut by a threshold. `between` = [start, end) in ns keeps to what
    was indexed with a `timestamp` in it.
    """

    kind: ClassVar[str]
    """By which `create_retriever` makes one."""

    def __init__(
        self,
        dims: Mapping[ModalityType, int],
        bridge: Bridge,
        options: Mapping[str, Any],
        calibration: Shipped | None,
    ) -> None:
        for name, value in options.items():
            if name.endswith("_dim") and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"{name} is {value!r}, expected a whole number above 0")
        if calibration not in (None, "embedded"):
            raise ConfigError(f"calibration is {calibration!r}, expected None or 'embedded'")
        self._bridge, self._options = bridge, dict(options)
        self._collections = {modality: Collection(modality, size) for modality, size in dims.items()}
        self._next = 0
        self._calibrations: dict[str, ScoreCalibration] = {}
        self._lock = threading.RLock()
        if calibration == "embedded":
            if not bridge.plain:
                raise ConfigError("calibration='embedded' is of the encoders' own spaces; with a projection use calibrate()")
            self._calibrations = _shipped(dims)

    def __len__(self) -> int:
        with self._lock:
            return sum(len(one.items) for one in self._collections.values())

    def __contains__(self, key: int) -> bool:
        with self._lock:
            return any(key in one.items for one in self._collections.values())

    def index_many(
        self,
        modality: ModalityType | str,
        contents: Sequence[Any],
        embeddings: Tensor | np.ndarray[Any, Any],
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        timestamps: Sequence[int | None] | None = None,
    ) -> list[int]:
        """Index N things of one modality at once, (N, D) embeddings; returns their keys. All or none are taken in.

        Past 100,000 call `build` afterwards, so that questions are answered by a graph.

        Raises:
            InputError: as many of everything are needed; and see `multimodal.retrieval.collection.one_vector`.
        """
        collection = self._collection(modality)
        metadata = [None] * len(contents) if metadata is None else metadata
        timestamps = [None] * len(contents) if timestamps is None else timestamps
        if not len(contents) == len(embeddings) == len(metadata) == len(timestamps):
            raise InputError(
                f"{len(contents)} contents, {len(embeddings)} embeddings, {len(metadata)} metadata and "
                f"{len(timestamps)} timestamps"
            )
        if not len(contents):
            return []
        vectors = many_vectors(embeddings, collection.index.dimension, f"an {collection.modality}")
        items = [Item(*row) for row in zip(contents, map(_metadata, metadata), map(_instant, timestamps), strict=True)]
        placed = self._bridge.placed(collection.modality, vectors).float().cpu().numpy()
        with self._lock:
            keys = list(range(self._next, self._next + len(items)))
            collection.extend(keys, items, placed)
            self._next += len(items)
        return keys

    def delete(self, key: int) -> bool:
        """Take one thing away; False where there was none of this key."""
        with self._lock:
            found = [one.delete(key) for one in self._collections.values()]
        return any(found)

    def build(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Put everything into graphs (see `multimodal.retrieval.segments`), telling `progress` rows done and rows in all."""
        with self._lock:
            indexes = [one.index for one in self._collections.values()]
            total = sum(index.waiting for index in indexes)

            def told(_done: int, _of: int) -> None:
                if progress is not None:
                    progress(total - sum(index.waiting for index in indexes), total)

            for index in indexes:
                index.build(told)

    def calibrate(
        self,
        pairs: Iterable[tuple[Vectors, Right]],
        *,
        source_modality: ModalityType | str | None = None,
        target_modality: ModalityType | str | None = None,
    ) -> dict[str, CalibrationFit]:
        """Learn what scores are worth, from questions and the keys of what is right for them.

        Some dozens of questions per direction will do, of the sort that will be asked, and of this index: in a larger one the
        same score is worth less. Directions that no pair asks keep what they had. Saved and loaded with the retriever.

        Args:
            pairs: of a question and a key, or several, or none where nothing that is indexed is right.
            source_modality: of questions that are bare vectors.
            target_modality: that is asked for; where None, of the right keys, and then a question needs one.

        Returns:
            by direction, as ``text>image``, what it was learned from and its expected calibration error.

        Raises:
            InputError: too few questions of a direction, a key that is not there, or a question that fits nothing.
        """
        with self._lock:
            asked: dict[str, tuple[list[Any], list[Any]]] = {}
            for query, right in pairs:
                keys = {right} if isinstance(right, int) else set(right)
                source = self._source(query, source_modality)
                for target in self._targets(keys, target_modality):
                    hits = self._nearest(query, source, target, LOOKED_AT, None)
                    scores, truth = asked.setdefault(_direction(source, target), ([], []))
                    scores.append(np.array([hit.score for hit in hits]))
                    truth.append(np.array([hit.key in keys for hit in hits], bool))
            if not asked:
                raise InputError("a calibration needs pairs of a question and the key of a right answer")
            found = {name: fitted(scores, truth) for name, (scores, truth) in asked.items()}
            self._calibrations |= {name: calibration for name, (calibration, _) in found.items()}
        return {name: fit for name, (_, fit) in found.items()}

    def save(self, path: str | Path) -> None:
        """Write everything to a folder, in the place of what it held, at once or not at all.

        Raises:
            InputError: a content or metadata has no form that can be saved without pickle, or the folder holds other things.
        """
        with self._lock, written(path, self.kind) as out:
            for one in self._collections.values():
                one.write(out)
            self._bridge.write(out)
            calibrations = {name: asdict(one) for name, one in self._calibrations.items()}
            out.document("retriever", {"options": self._options, "next": self._next, "calibrations": calibrations})

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Self:
        """What `save` wrote: it gives the same answers. `verify`: see `SegmentedIndex.load`.

        Raises:
            InputError: no such folder, one of another kind of retriever, or a damaged one.
        """
        source = opened(path, cls.kind, verify=verify)
        document = source.document("retriever")
        found = cls._construct(source, document["options"])
        found._collections = {modality: Collection.read(source, modality) for modality in found._collections}
        found._next = document["next"]
        found._calibrations = {
            name: ScoreCalibration(tuple(one["weights"]), one["bias"]) for name, one in document["calibrations"].items()
        }
        return found

    @classmethod
    @abstractmethod
    def _construct(cls, source: Reader, options: dict[str, Any]) -> Self:
        """An empty one with the options and the bridge that were saved."""

    def _index(
        self,
        modality: ModalityType,
        content: Any,
        embedding: Vectors,
        metadata: Mapping[str, Any] | None,
        timestamp: int | None,
    ) -> int:
        dimension = self._collections[modality].index.dimension
        vector = one_vector(embedding, dimension, f"the {modality}")
        return self.index_many(modality, [content], vector[None], [metadata], timestamps=[timestamp])[0]

    def _answers(
        self, query: Vectors, source: ModalityType | None, target: ModalityType, top_k: int, between: Interval | None
    ) -> list[RetrievalResult]:
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise InputError(f"top_k is {top_k!r}, expected a whole number above 0")
        if between is not None and not _interval(between):
            raise InputError(f"between is [start, end) in ns, start before end, not {between!r}")
        with self._lock:
            hits = self._nearest(query, source, target, top_k, between)
            scores = np.array([hit.score for hit in hits])
            calibration = self._calibrations.get(_direction(source, target))
            confidences = [math.nan] * len(hits) if calibration is None else calibration.confidence(scores).tolist()
            items = self._collections[target].items
            found = []
            for hit, confidence in zip(hits[:top_k], confidences[:top_k], strict=True):
                item, score = items[hit.key], min(max(hit.score, -1.0), 1.0)
                found.append(RetrievalResult(item.content, score, confidence, item.metadata, hit.key, target, item.timestamp))
            return found

    def _nearest(
        self, query: Vectors, source: ModalityType | None, target: ModalityType, top_k: int, between: Interval | None
    ) -> list[Hit]:
        """The best and one more, whose distance says what the first is worth."""
        asking = self._collections[source or target].index.dimension
        vector = one_vector(query, asking, "the question")
        asked = self._bridge.asked(source, target, vector).float().cpu().numpy()
        return self._collections[target].nearest(asked, top_k + 1, between)

    def _source(self, query: Vectors, given: ModalityType | str | None) -> ModalityType | None:
        """Of an embedding its own modality, of a bare vector the given one."""
        if isinstance(query, ModalityEmbedding):
            return self._collection(query.modality).modality
        return None if given is None else self._collection(given).modality

    def _targets(self, keys: set[int], given: ModalityType | str | None) -> list[ModalityType]:
        if missing := [key for key in keys if key not in self]:
            raise InputError(f"nothing with the key {missing[0]} is indexed")
        if given is not None:
            return [self._collection(given).modality]
        found = [modality for modality, one in self._collections.items() if keys & one.items.keys()]
        if not found:
            raise InputError("a question without a right answer needs target_modality")
        return found

    def _collection(self, modality: ModalityType | str) -> Collection:
        for known, found in self._collections.items():
            if known == modality:
                return found
        raise InputError(f"modality is {str(modality)!r}, expected one of {', '.join(self._collections)}")


def _direction(source: ModalityType | None, target: ModalityType) -> str:
    return f"{source or 'any'}>{target}"


def _metadata(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if given is None else dict(given)


def _instant(given: int | None) -> int | None:
    if given is not None and (not isinstance(given, int | np.integer) or not NEVER < given < 2**63):
        raise InputError(f"timestamp is {given!r}, expected whole nanoseconds or None")
    return None if given is None else int(given)


def _shipped(dims: Mapping[ModalityType, int]) -> dict[str, ScoreCalibration]:
    """For questions by example in the spaces of the embedded encoders: what was fitted for `SearchCalibration`."""
    from multimodal.retrieval.calibration import Parameters

    spaces = {ModalityType.TEXT: 384, ModalityType.IMAGE: 1280, ModalityType.AUDIO: 1024}
    alike = Parameters.shipped().alike
    return {
        _direction(modality, modality): ScoreCalibration((alike[modality][0], 0.0, 0.0), alike[modality][1])
        for modality, size in dims.items()
        if spaces[modality] == size
    }


def _interval(between: Any) -> bool:
    """Two whole numbers, [start, end) in ns."""
    pair = isinstance(between, (tuple, list)) and len(between) == 2
    return pair and all(isinstance(t, (int, np.integer)) for t in between) and bool(NEVER < between[0] < between[1] < 2**63)
