"""Search over what was seen, heard and said: the store, a mind for the question, and a calibration for the answer.

A moment answers a token when some stream of it does; it answers a question when it answers every token, and then with
the confidence of its least sure token. A moment counts from `threshold` on. Words are asked of

    seen:, heard:   the cosine of the question to each picture's or sound's vector in the shared space, calibrated
    said:           the words themselves (stemmed, `tea*` for a beginning), or the calibrated cosine of their meaning,
                    whichever is surer
    nothing before  all three, the surest one counts; "a picture of ..." not of sounds, "the sound of ..." not of pictures

A picture or a sound as a question is asked of the same modality in its encoder's own space. All moments of the store are
weighed, in memory and by columns; only of those that are shown anything is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import QuestionError
from pipelines.hits import Answer, Hit, Reason
from pipelines.packet import Modality
from pipelines.protocols import Calibration, Candidates, Encoded, Mind
from pipelines.query import LAST, Query, Token, parse_query
from pipelines.reasons import Source, shown
from pipelines.runs import Matches, find_runs
from pipelines.store.reader import Reader, Space
from pipelines.store.vectors import IndexFactory, Memory, Near
from pipelines.words import full_text

__all__ = ["EVERY_WORD", "WHOLE_PHRASE", "Answer", "Hit", "Reason", "Search", "alike"]

EVERY_WORD = 0.9  # confidence of a text that holds every word asked, stemmed
WHOLE_PHRASE = 0.97  # the same, side by side and in order
EXACT = 256  # the surest views of one modality, whose cosines are computed again, exactly
ROUGH = 0.02  # what a confidence may differ by for want of that

Identity: TypeAlias = Callable[[str], str]
"""From a fingerprint, the part of it that must be equal where numbers are compared."""


def alike(cosine: ArrayLike) -> NDArray[np.float64]:
    """Confidence in an example's likeness where the calibration knows none: a logistic, .5 at .75, .92 at .9, .08 at .6.

    In the classifiers' own spaces two pictures or sounds of one scene lie above .8, of different scenes mostly below .6.
    """
    return np.asarray(1.0 / (1.0 + np.exp(-(np.asarray(cosine, np.float64) - 0.75) / 0.06)), np.float64)


class Search:
    """Questions to one store; it may be written meanwhile. One question at a time, from any thread.

    Args:
        directory: of the store.
        mind: encodes the question.
        index: makes an empty index for a dimension.
        calibration: what a cosine is worth. LookupError from it for an example means that it knows none: then `alike`.
        identity: moments whose model has another identity than the mind are found by their words only.
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
        identity: Identity = str,
        threshold: float = 0.5,
        limit: float = 10.0,
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise QuestionError(f"the threshold is a confidence between 0 and 1, not {threshold}")
        own = identity(mind.fingerprint)
        self._reader = Reader(directory, limit=limit)
        self._memory = Memory(self._reader, index, lambda model: identity(model) == own)
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
        with self._one:
            if self._reader.empty():
                return Answer(
                    "no confident match", hint="the store holds no moments yet: run or replay something first"
                )
            scope = _Scope(query, since, until, self._reader.streams())
            self._memory.follow()
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
        hint = self._strangers()
        if any(part.outside for part in parts):
            return Answer(
                "outside vocabulary",
                best=best,
                hint=hint or "no class of pictures or sounds means that; try other words",
            )
        sources: list[Source] = []
        matches = []
        for part in parts:
            matches.append(part.matches(first_source=len(sources)))
            sources += part.sources
        runs = find_runs(matches, self._memory.catalogue, newest=newest, limit=limit)
        hits = shown(runs, sources, self._memory.catalogue, self._reader)
        if not hits:
            together = best >= self._threshold  # each part was found, but nowhere all of them
            likeliest = f"the likeliest moment reached a confidence of {best:.2f}"
            told = "no moment answers every part of it" if together else likeliest
            return Answer("no confident match", best=best, hint=hint or told)
        return Answer("match", tuple(hits), best, hint)

    def _strangers(self) -> str | None:
        models = self._memory.strangers
        if not models:
            return None
        return (
            f"all moments of this store were made by other models ({', '.join(models)}), so only their words can be "
            f"searched; replay the recordings into a new store with these models ({self._mind.fingerprint})"
        )

    def _words(self, token: Token, scope: _Scope) -> _Part:
        asked = [m for m in token.modalities if m in scope.modalities] or token.modalities  # of what the store has
        question = self._question(text=token.words)
        part = _Part()
        named = [m for m in asked if m != "text"]  # what is said has no list of classes
        known = [m for m in named if self._calibration.in_vocabulary(question, m)]
        for modality in known:
            self._near(part, question, modality, "shared", scope)
        if "text" in asked:
            self._near(part, question, "text", "shared", scope)
            self._literal(part, token.words, scope)
        part.outside = bool(named) and not known and not part.found
        return part

    def _example(self, question: Encoded, modality: Modality, scope: _Scope) -> _Part:
        part = _Part()
        self._near(part, question, modality, "native", scope)
        return part

    def _near(self, part: _Part, question: Encoded, modality: Modality, space: Space, scope: _Scope) -> None:
        """Add the views of `modality` that are sure enough. Of the surest the cosine is worked out exactly."""
        vector = question.vector if space == "shared" else question.native
        near = self._memory.near(space, modality, vector, between=scope.between, streams=scope.streams)
        confidences = self._confidences(near, question, modality, space)
        sure = np.flatnonzero(confidences >= min(self._threshold, confidences.max(initial=0.0)) - ROUGH)
        surest = sure if sure.size <= EXACT else sure[np.argpartition(-confidences[sure], EXACT)[:EXACT]]
        scores = near.cosines.astype(np.float64)
        scores[surest] = self._memory.exact(space, modality, vector, near.rows[surest])
        confidences[surest] = self._confidences(Near(near.rows[surest], scores[surest]), question, modality, space)
        part.best = max(part.best, float(confidences.max(initial=0.0)))
        kept = sure[confidences[sure] >= self._threshold]
        if kept.size:
            source = Source(frozenset(name for name, _ in question.labels))
            part.add(near.rows[kept], confidences[kept], scores[kept], source)

    def _confidences(self, near: Near, question: Encoded, modality: Modality, space: Space) -> NDArray[np.float64]:
        catalogue = self._memory.catalogue
        candidates = Candidates(
            near.cosines,
            [column.values[near.rows] for column in catalogue.labels],
            [column.values[near.rows] for column in catalogue.probabilities],
            catalogue.names,
            catalogue.quality.values[near.rows],
        )
        try:
            return np.array(self._calibration.confidences(candidates, question, modality), np.float64)
        except LookupError:
            if space == "shared":
                raise
            return alike(near.cosines)

    def _literal(self, part: _Part, words: str, scope: _Scope) -> None:
        """Add the texts that hold the words themselves."""
        expressions = full_text(words)
        if expressions is None:
            return
        levels = [(expressions.every, EVERY_WORD)]
        if expressions.phrase is not None:
            levels.append((expressions.phrase, WHOLE_PHRASE))
        catalogue = self._memory.catalogue
        for expression, confidence in levels:
            rows = catalogue.rows_of(self._reader.holding(expression))
            starts = catalogue.start.values[catalogue.moment.values[rows]]
            inside = (starts >= scope.between[0]) & (starts < scope.between[1])
            if scope.streams is not None:
                inside &= np.isin(catalogue.stream.values[rows], catalogue.streams.which(scope.streams))
            rows = rows[inside]
            if rows.size:
                part.best = max(part.best, confidence)
                if confidence >= self._threshold:
                    same = np.full(rows.size, confidence)
                    part.add(rows, same, same, Source(frozenset(), expression))

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
    """What one token found, the best confidence of all, and whether it can be found at all."""

    def __init__(self) -> None:
        self.found: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = []
        self.sources: list[Source] = []
        self.best = 0.0
        self.outside = False

    def add(
        self,
        rows: NDArray[np.int64],
        confidences: NDArray[np.float64],
        scores: NDArray[np.float64],
        source: Source,
    ) -> None:
        """Matches of one source."""
        self.found.append((rows, confidences, scores))
        self.sources.append(source)

    def matches(self, first_source: int) -> Matches:
        """All of them, their sources numbered from `first_source`."""
        return Matches.joined(
            [Matches(*one, np.full(len(one[0]), number)) for number, one in enumerate(self.found, first_source)]
        )


class _Scope:
    """When and where a question looks. Raises QuestionError for a stream that the store does not know."""

    def __init__(self, query: Query, since: int | None, until: int | None, known: Mapping[str, Modality]) -> None:
        after = [time for time in (query.after, since) if time is not None]
        before = [time for time in (query.before, until) if time is not None]
        self.between = (max(after, default=-LAST), min(before, default=LAST))
        self.streams = query.streams or None
        self.modalities = frozenset(known.values())
        unknown = [name for name in query.streams if name not in known]
        if unknown:
            raise QuestionError(
                f"no moment of stream {unknown[0]!r} is in this store; it has {', '.join(sorted(known))}"
            )
