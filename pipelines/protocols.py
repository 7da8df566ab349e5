"""The whole contract between the stream and everything that plugs into it: sources, stages, sinks and the mind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.packet import Event, Modality, Packet

Overflow: TypeAlias = Literal["block", "drop_oldest", "keep_latest", "drop_newest"]
Vector: TypeAlias = NDArray[np.float32]

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Source(Protocol):
    """One stream of the outside world."""

    overflow: Overflow
    """What its channel does when it is full: `block` for files and brokers, a dropping policy for live devices."""

    def events(self) -> AsyncGenerator[Event, None]:
        """Packets in the stream's own order, with Bounds and Gaps between them; ends when the stream ends."""
        ...


class Stage(Protocol[In, Out]):
    """Async iterator in, async iterator out; composition is a call."""

    def __call__(self, items: AsyncIterable[In]) -> AsyncGenerator[Out, None]: ...


class Record(NamedTuple):
    """One row of the outbox, as a sink sees it."""

    sequence: int
    key: str
    ce_id: str
    body: bytes
    headers: Mapping[str, str]


class Sink(Protocol):
    """A place where records become durable."""

    async def write(self, records: Sequence[Record]) -> None:
        """Return when all records are durable, in order. Raises Retry(reason) or Reject(record, reason)."""
        ...

    async def aclose(self) -> None:
        """Release what it holds; bounded in time."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What the mind made of one packet.

    Attributes:
        modality: of the packet.
        vector: unit vector in the shared space, float32 (D,); zeros where `error` is set.
        native: vector in the encoder's own space, float32 (N,).
        cells: a picture's cells in the shared space, float32 (H, W, D), else None.
        labels: what it shows or sounds like, most probable first, with probabilities in [0, 1].
        text: the words, of a text packet.
        quality: of the signal itself, in [0, 1].
        confidence: of the model in what it says, in [0, 1].
        error: why the packet could not be read; then quality and confidence are 0.
    """

    modality: Modality
    vector: Vector
    native: Vector
    cells: Vector | None = None
    labels: tuple[tuple[str, float], ...] = ()
    text: str | None = None
    quality: float = 1.0
    confidence: float = 1.0
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """What the mind made of one window.

    Attributes:
        vector: unit vector in the shared space, float32 (D,).
        contributions: share of each stream, sums to 1 (empty where nothing could be read).
        alignment: cosine of each pair of streams, keyed ``a|b`` with a < b.
        coherence: mean alignment of the pairs in [-1, 1]; 1 where there is a single stream.
        attention: by (question stream, picture stream): map float32 (H, W) that sums to 1.
    """

    vector: Vector
    contributions: Mapping[str, float] = field(default_factory=dict)
    alignment: Mapping[str, float] = field(default_factory=dict)
    coherence: float = 1.0
    attention: Mapping[tuple[str, str], Vector] = field(default_factory=dict)


class Mind(Protocol):
    """Synchronous, called in worker threads; numpy in, numpy out."""

    fingerprint: str
    """Models, precision, runtime, version, instruction set: the identity of the numbers."""

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        """Packets of one modality, any number; a row never depends on its neighbours. Never raises for a bad packet."""
        ...

    def fuse(self, windows: Sequence[Mapping[str, Sequence[Encoded]]]) -> list[Fused]:
        """Each window by stream: two cameras are two streams. A window's result depends on that window alone."""
        ...

    def question(
        self, *, text: str | None = None, image: bytes | None = None, audio: tuple[NDArray[np.int16], int] | None = None
    ) -> Encoded:
        """A search question: exactly one of words, JPEG/PNG bytes, or (samples (n, channels), rate).

        The labels of a question in words are the class names nearest to it, with their cosines.
        """
        ...


class Index(Protocol):
    """Vectors by integer key, each at an instant; cosine similarity."""

    def add(self, key: int, vector: Vector, timestamp: int) -> None: ...

    def extend(self, keys: Sequence[int], vectors: NDArray[np.floating], timestamps: Sequence[int]) -> None:
        """Add many at once; vectors (n, D) of any precision."""
        ...

    def remove(self, key: int) -> None:
        """A key that is not there is no error."""
        ...

    def query(self, vector: Vector, k: int, between: tuple[int, int] | None = None) -> Sequence[tuple[int, float]]:
        """The k best as (key, cosine), best first; `between` = [start, end) in ns."""
        ...

    def cosines(
        self, vector: Vector, between: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Keys of all rows in `between`, in no promised order, and their cosines, within 1e-3 of the exact ones."""
        ...

    def exact(self, vector: Vector, keys: Sequence[int]) -> NDArray[np.float64]:
        """The cosines of these rows, which are there."""
        ...


class Candidates(NamedTuple):
    """What a calibration may look at: n moments of one modality as columns.

    Attributes:
        scores: (n,) cosines to the question.
        labels: what the moments themselves said they were, most probable first: each an (n,) array of places in `names`.
        probabilities: of those labels, each (n,); 0 where a moment has fewer labels than others.
        names: of the labels.
        quality: (n,) of the signal, in [0, 1].
    """

    scores: NDArray[np.floating]
    labels: Sequence[NDArray[np.int32]]
    probabilities: Sequence[NDArray[np.floating]]
    names: Sequence[str]
    quality: NDArray[np.floating]


class Calibration(Protocol):
    """What a score is worth."""

    def confidences(self, candidates: Candidates, question: Encoded, modality: Modality) -> NDArray[np.floating]:
        """(n,): the probability that each candidate, a moment of `modality`, is a right answer.

        It looks at each one alone: the same candidate is worth the same among others.
        """
        ...

    def in_vocabulary(self, question: Encoded, modality: Modality) -> bool:
        """Whether a question in words is about anything the encoder of `modality` can name."""
        ...
