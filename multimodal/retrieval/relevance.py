"""How well the name of a class answers a question in words.

"A cat" is answered by a picture of a tabby, though "tabby" is not near "a cat" among the vectors of all names: the words
that the vocabulary knows for a class, synonyms and kinds, are compared one by one, by meaning and by letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FEATURES = ("own meaning", "kind meaning", "own words", "kind words", "named elsewhere")
"""Columns of `Relevance.features`: the highest cosine of a class's own terms (synonyms) and of terms for kinds of more than
two classes; then, for both, the number of words (at most 2) of the longest such term that stands in the question, of what
it is about: "a cat on a table" is about a cat; last, 1 where the question holds terms of other classes and none of this one,
for cats are near to dogs and yet no dogs."""

NARROW = 2
"""A term for this many classes or fewer counts as their own name."""


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
        self._words = [frozenset(words(term.name)) for term in vocabulary.terms]
        self._terms_with: dict[str, list[int]] = {}
        for i, own in enumerate(self._words):
            for word in own:
                self._terms_with.setdefault(word, []).append(i)
        pairs = [(i, c, len(term.classes) <= NARROW) for i, term in enumerate(vocabulary.terms) for c in term.classes]
        narrow, wide = ([p for p in pairs if p[2] is side] for side in (True, False))
        self._sides = tuple(
            _Side(np.array([p[0] for p in some], np.int64), np.array([p[1] for p in some], np.int64))
            for some in (narrow, wide)
        )

    def features(self, vector: Floats, text: str | None) -> Floats:
        """(C, 5) of `FEATURES` for a question at `vector` (D,), unit length; without `text` the last three are 0."""
        cosines = np.einsum("td,d->t", self._vectors, vector)  # not @, whose second thread costs more than it saves
        spoken = self._spoken(text) if text else np.zeros(len(self._words), np.float32)
        found = np.zeros((len(self.names), len(FEATURES)), np.float32)
        for column, side in enumerate(self._sides):
            np.maximum.at(found[:, column], side.classes, cosines[side.terms])
            np.maximum.at(found[:, 2 + column], side.classes, spoken[side.terms])
        named = found[:, 2:4].any(1)
        found[:, 4] = named.any() & ~named
        return found

    def _spoken(self, text: str) -> Floats:
        """Per term: how many words it has, at most 2, if all of them stand in the question; else 0.

        The longest match counts: who asks for a hot dog has not asked for a dog.
        """
        asked = set(words(about(text)))
        near = {i for word in asked for i in self._terms_with.get(word, ())}
        matched = {self._words[i] for i in near if self._words[i] <= asked}
        longest = {own for own in matched if not any(own < other for other in matched)}
        found = np.zeros(len(self._words), np.float32)
        for i in near:
            if self._words[i] in longest:
                found[i] = min(len(self._words[i]), 2)
        return found


def about(text: str) -> str:
    """The part of a question in front of where the thing is: what stands behind "on", "in", "near" is not asked for."""
    bare = _FRAME.sub("", text.lower())
    head = _PLACE.split(bare, maxsplit=1)[0]
    return head if words(head) else bare


_FRAME = re.compile(r"\b(?:picture|photo|photograph|image|video|sound|noise)s? of\b")
_PLACE = re.compile(r"\b(?:on|in|at|near|under|behind|beside|inside|outside|over|next to|in front of)\b")
_WORD = re.compile(r"[a-z]+")
_BINDING = """
a an the of in on at to and or with some very it its is are was i my me we our your there this that these those for from
by as who which what
"""
_EMPTY = frozenset(_BINDING.split())


def words(text: str) -> list[str]:
    """Lower case, without the words that only bind others, without the endings of the plural and of -ing."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _EMPTY]


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
        return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word
