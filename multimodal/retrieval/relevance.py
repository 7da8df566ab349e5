"""How well the name of a class answers a question in words.

"A cat" is answered by a picture of a tabby, though "tabby" is not near "a cat" among the vectors of all names: the words
that the vocabulary knows for a class, synonyms and kinds, are compared one by one, by meaning and by letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from multimodal.retrieval.words import about, words

Floats = NDArray[np.float32]

FEATURES = ("own meaning", "kind meaning", "own words", "kind words", "named elsewhere")
"""Columns of `Relevance.features`: the highest cosine of a class's own terms (synonyms) and of terms for kinds of more than
two classes; then, for both, the number of the question's words (at most 2) that are the longest such term, of what it is
about: "a cat on a table" is about a cat; last, 1 where the question holds terms of other classes and none of this one, for
cats are near to dogs and yet no dogs."""

NARROW = 2
"""A term for this many classes or fewer counts as their own name."""

SAME = 0.8
"""Cosine from which a part of a name means the whole: "typewriter" is a typewriter keyboard, "tiger" is no tiger shark."""


class Term(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[int, ...]: ...


class Named(Protocol):
    """What is needed of a vocabulary (`multimodal.embeddings.Vocabulary` is one)."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def terms(self) -> Sequence[Term]: ...
    @property
    def term_embeddings(self) -> Floats: ...


class _Side(NamedTuple):
    """Terms of one sort, and the pairs (term, class) they make."""

    terms: NDArray[np.int64]
    classes: NDArray[np.int64]


class Relevance:
    """Features of (question, class) over one vocabulary. Thread-safe; about a millisecond a question."""

    def __init__(self, vocabulary: Named) -> None:
        self.names = vocabulary.names
        self._vectors = vocabulary.term_embeddings
        self._words = [tuple(words(term.name)) for term in vocabulary.terms]
        self._terms_with: dict[str, list[int]] = {}
        self._closed: dict[str, list[int]] = {}  # terms by their words as one: a schoolbus is a school bus
        for i, own in enumerate(self._words):
            for word in set(own):
                self._terms_with.setdefault(word, []).append(i)
            self._closed.setdefault("".join(own), []).append(i)
        pairs = [(i, c, len(term.classes) <= NARROW) for i, term in enumerate(vocabulary.terms) for c in term.classes]
        narrow, wide = ([p for p in pairs if p[2] is side] for side in (True, False))
        self._sides = tuple(
            _Side(np.array([p[0] for p in some], np.int64), np.array([p[1] for p in some], np.int64))
            for some in (narrow, wide)
        )

    def features(self, vector: Floats, text: str | None) -> Floats:
        """(C, 5) of `FEATURES` for a question at `vector` (D,), unit length; without `text` the last three are 0."""
        cosines = np.einsum("td,d->t", self._vectors, vector)  # not @, whose second thread costs more than it saves
        spoken = self._spoken(text, cosines) if text else np.zeros(len(self._words), np.float32)
        found = np.zeros((len(self.names), len(FEATURES)), np.float32)
        for column, side in enumerate(self._sides):
            np.maximum.at(found[:, column], side.classes, cosines[side.terms])
            np.maximum.at(found[:, 2 + column], side.classes, spoken[side.terms])
        named = found[:, 2:4].any(1)
        found[:, 4] = named.any() & ~named
        return found

    def _spoken(self, text: str, cosines: Floats) -> Floats:
        """Per term: how many of the question's words are this term, at most 2.

        A term is there if all its words are, or, where one writes as two words what the other writes as one, their letters
        ("fire truck", "firetruck"). The longest match counts: who asks for a hot dog has not asked for a dog. Where no term
        is there, those are that hold all that was asked and mean the same.
        """
        asked = words(about(text))
        present = frozenset(asked)
        near = {i for word in present for i in self._terms_with.get(word, ())}
        taken = {i: own for i in near if (own := frozenset(self._words[i])) <= present}
        for written in ((word,) for word in asked), zip(asked, asked[1:], strict=False):
            for part in written:
                for i in self._closed.get("".join(part), ()):
                    taken.setdefault(i, frozenset(part))
        if not taken and present:
            taken = {i: present for i in near if present < frozenset(self._words[i]) and cosines[i] >= SAME}
        longest = {own for own in taken.values() if not any(own < other for other in taken.values())}
        found = np.zeros(len(self._words), np.float32)
        for i, own in taken.items():
            if own in longest:
                found[i] = min(len(own), 2)
        return found
