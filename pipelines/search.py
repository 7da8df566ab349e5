"""Search over what was seen, heard and said: the store, a mind for the question, and a calibration for the answer.

A moment answers a token when some stream of it does; it answers a question when it answers every token, and then with
the confidence of its least sure token. A moment counts from `threshold` on. Words are asked of

    seen:, heard:   the cosine of the question to each picture's or sound's vector in the shared space, calibrated
    said:           the words themselves (stemmed, `tea*` for a beginning), or the calibrated cosine of their meaning,
                    whichever is surer
    nothing before  all three, the surest one counts

A picture or a sound as a question is asked of the same modality in its encoder's own space.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import QuestionError
from pipelines.hits import Answer, Hit, Match, Reason, both, merged
from pipelines.packet import Modality
from pipelines.protocols import Calibration, Candidate, Encoded, Mind
from pipelines.query import LAST, Asked, Query, Token, parse_query
from pipelines.store.reader import Found, Reader, Space
from pipelines.store.vectors import IndexFactory, VectorIndexes
from pipelines.words import full_text

__all__ = ["EVERY_WORD", "WHOLE_PHRASE", "Answer", "Hit", "Reason", "Search", "alike"]

EVERY_WORD = 0.9  # confidence of a text that holds every word asked, stemmed
WHOLE_PHRASE = 0.97  # the same, side by side and in order
FIRST = (
    256  # candidates looked at; as long as the last quarter of them still holds a confident one, eight times as many
)
AT_ONCE = 2048  # nearest rows that one pass over an index brings
MOST = 16_384
CONTEXT = 160  # characters of a text that was found by its meaning

_MODALITIES: Mapping[Asked, tuple[Modality, ...]] = {
    "seen": ("image",),
    "heard": ("audio",),
    "said": ("text",),
    "any": ("image", "audio", "text"),
}
_Evidence: TypeAlias = dict[str, list[Match]]


def alike(cosine: float) -> float:
    """Confidence in an example's likeness where the calibration knows none: a logistic, .5 at .75, .92 at .9, .08 at .6.

    In the classifiers' own spaces two pictures or sounds of one scene lie above .8, of different scenes mostly below .6.
    """
    return float(1.0 / (1.0 + np.exp(-(cosine - 0.75) / 0.06)))


class Search:
    """Questions to one store; it may be written meanwhile. One question at a time, from any thread.

    Args:
        directory: of the store.
        mind: encodes the question; the store's moments must be of the same models.
        index: makes an empty index for a dimension.
        calibration: what a cosine is worth. LookupError from it for an example means that it knows none: then `alike`.
        threshold: the confidence from which a moment is an answer.
        limit: seconds that one read of the store may take.

    Raises StoreError where there is no store; `ask` also QuestionError, which says what would be right.
    """

    def __init__(
        self,
        directory: Path | str,
        mind: Mind,
        index: IndexFactory,
        calibration: Calibration,
        *,
        threshold: float = 0.5,
        limit: float = 10.0,
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise QuestionError(f"the threshold is a confidence between 0 and 1, not {threshold}")
        self._reader = Reader(directory, limit=limit)
        self._vectors = VectorIndexes(self._reader, index)
        self._mind = mind
        self._calibration = calibration
        self._threshold = threshold
        self._one = threading.Lock()

    def ask(
        self,
        question: str = "",
        *,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest: bool = False,
        limit: int = 10,
        now: int,
    ) -> Answer:
        """The `limit` best (or newest) hits. `since`, `until`, `now` in ns; they bound when a moment begins.

        `image`: JPEG or PNG bytes; `audio`: (samples (n, channels), rate). With words beside them, all must hold.
        """
        query = parse_query(question, now)
        if not query.tokens and image is None and audio is None:
            raise QuestionError(
                'nothing is asked; write words, as in seen:dog or heard:"glass breaking", or give a file'
            )
        if limit < 1:
            raise QuestionError(f"at least one hit must be asked for, not {limit}")
        with self._one, _no_collections():
            if self._reader.empty():
                return Answer(
                    "no confident match", hint="the store holds no moments yet: run or replay something first"
                )
            scope = _Scope(query, since, until, self._reader.streams())
            parts = [self._words(token, scope) for token in query.tokens]
            if image is not None:
                parts.append(self._example(self._question(image=image), "image", scope))
            if audio is not None:
                parts.append(self._example(self._question(audio=audio), "audio", scope))
            return self._answer(parts, newest=newest, limit=limit)

    def interrupt(self) -> None:
        """End the question that is being answered in another thread; `ask` raises StoreError there."""
        self._reader.interrupt()

    def close(self) -> None:
        """May be called twice."""
        self._reader.close()

    def __enter__(self) -> Search:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, parts: Sequence[_Part], *, newest: bool, limit: int) -> Answer:
        best = min(part.best for part in parts)
        if any(part.outside for part in parts):
            return Answer(
                "outside vocabulary", best=best, hint="no class of pictures or sounds means that; try other words"
            )
        hits = merged(both([part.evidence for part in parts]), newest=newest, limit=limit)
        if not hits:
            return Answer(
                "no confident match", best=best, hint=f"the likeliest moment reached a confidence of {best:.2f}"
            )
        return Answer("match", tuple(hits), best)

    def _words(self, token: Token, scope: _Scope) -> _Part:
        asked = _MODALITIES[token.asked]
        question = self._question(text=token.words)
        part = _Part()
        named = [m for m in asked if m != "text"]  # what is said has no list of classes
        known = [m for m in named if self._calibration.in_vocabulary(question, m)]
        for modality in known:
            self._near(part, question, modality, "shared", scope)
        if "text" in asked:
            self._near(part, question, "text", "shared", scope)
            self._literal(part, token.words, scope)
        part.outside = bool(named) and not known and not part.evidence
        return part

    def _example(self, question: Encoded, modality: Modality, scope: _Scope) -> _Part:
        part = _Part()
        self._near(part, question, modality, "native", scope)
        return part

    def _near(self, part: _Part, question: Encoded, modality: Modality, space: Space, scope: _Scope) -> None:
        """Add the confident moments among the nearest vectors, looking further while that is worth it."""
        vector = question.vector if space == "shared" else question.native
        asked = frozenset(name for name, _ in question.labels)
        looked, k = 0, AT_ONCE
        nearest = self._vectors.nearest(space, modality, vector, k, between=scope.between, streams=scope.streams)
        while looked < min(len(nearest), MOST):
            size = max(FIRST, looked // 4)
            ranked = self._vectors.views(nearest[looked : looked + size])
            confidences = self._confidences(ranked, question, modality, space)
            for (found, score), confidence in zip(ranked, confidences, strict=True):
                if confidence >= self._threshold:
                    part.add(Match(found, confidence, score, asked, _shortened(found.text)))
            part.best = max(part.best, max(confidences, default=0.0))
            if max(confidences[-(size // 4) :], default=0.0) < self._threshold:
                break
            looked += size
            if looked >= k:
                k = 4 * k
                nearest = self._vectors.nearest(
                    space, modality, vector, k, between=scope.between, streams=scope.streams
                )

    def _confidences(
        self, ranked: Sequence[tuple[Found, float]], question: Encoded, modality: Modality, space: Space
    ) -> list[float]:
        candidates = [Candidate(score, found.labels, found.quality) for found, score in ranked]
        try:
            return self._calibration.confidence(candidates, question, modality)
        except LookupError:
            if space == "shared":
                raise
            return [alike(candidate.score) for candidate in candidates]

    def _literal(self, part: _Part, words: str, scope: _Scope) -> None:
        """Add the texts that hold the words themselves."""
        expressions = full_text(words)
        if expressions is None:
            return
        levels = [(expressions.every, EVERY_WORD)]
        if expressions.phrase is not None:
            levels.append((expressions.phrase, WHOLE_PHRASE))
        for expression, confidence in levels:
            for found, context in self._reader.words(expression, MOST, scope.between, scope.streams):
                part.best = max(part.best, confidence)
                if confidence >= self._threshold:
                    part.add(Match(found, confidence, confidence, frozenset(), _marked(context)))

    def _question(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
    ) -> Encoded:
        question = self._mind.question(text=text, image=image, audio=audio)
        if question.error is not None:
            raise QuestionError(f"the {question.modality} of the question cannot be read: {question.error}")
        return question


class _Part:
    """What one token found: matches by moment, the best confidence of all, whether it can be found at all."""

    def __init__(self) -> None:
        self.evidence: _Evidence = {}
        self.best = 0.0
        self.outside = False

    def add(self, match: Match) -> None:
        """Keep a match; of one stream of a moment the surer one."""
        held = self.evidence.setdefault(match.found.moment, [])
        for place, other in enumerate(held):
            if other.found.key == match.found.key:
                if (match.confidence, match.score) > (other.confidence, other.score):
                    held[place] = match
                return
        held.append(match)


class _Scope:
    """When and where a question looks. Raises QuestionError for a stream that the store does not know."""

    def __init__(self, query: Query, since: int | None, until: int | None, known: Mapping[str, Modality]) -> None:
        after = [time for time in (query.after, since) if time is not None]
        before = [time for time in (query.before, until) if time is not None]
        self.between = (max(after, default=-LAST), min(before, default=LAST))
        self.streams = query.streams or None
        unknown = [name for name in query.streams if name not in known]
        if unknown:
            raise QuestionError(
                f"no moment of stream {unknown[0]!r} is in this store; it has {', '.join(sorted(known))}"
            )


@contextmanager
def _no_collections() -> Iterator[None]:
    """Thousands of short-lived rows would set off searches for cycles, which they have none of, at 20 ms each."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _shortened(text: str | None) -> str | None:
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= CONTEXT else line[: CONTEXT - 1].rstrip() + "…"


def _marked(context: str) -> str:
    """The matching words between square brackets."""
    return " ".join(context.split()).replace("\x02", "[").replace("\x03", "]")
