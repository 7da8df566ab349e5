"""What a score is worth: the probability that a moment is a right answer to a question.

A cosine alone cannot say: a nonsense question has neighbours too, and their cosines are as high as those of good answers
to other questions. So a question in words is first compared with every class the encoder can name; a moment then answers
with the probability that what it showed or played is of such a class:

    relevance r_i = sigmoid(w . features(question, class i) + b)          see `multimodal.retrieval.relevance`
    evidence  e   = sum_i p_i r_i            p: the moment's labels (pictures: exclusive classes)
              e   = 1 - prod_i (1 - p_i r_i)                       (sounds: each class has a probability of its own)
    P = sigmoid(u log(e + 0.01) + v cosine + c)         v and c are others where the question holds the name of a class

No statistic over other moments enters: it holds for a recording of five moments. What the encoder cannot name at all is
told apart by a second logistic over the same features (`in_vocabulary`). Words to words, picture to picture and sound to
sound are compared in one space, where a logistic over the cosine is enough. All numbers are fitted by
`benchmarks.fitting.calibration`, on material of which half the questions and items were held out; `benchmarks.calibration`
prints how far they can be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from multimodal.retrieval.relevance import Floats, Named, Relevance

Modality = Literal["image", "audio", "text"]
Labels = tuple[tuple[str, float], ...]

EVIDENCE_FLOOR = 0.01
DEAD = 0.15
"""Quality at which the confidence is not lowered any more; below it falls to 0 with the quality. A rule, not a fit."""

SILENCE = "Silence"
"""The class of sounds that are none."""

_EXAMPLE_LABELS = 3


class Candidate(Protocol):
    """The cosine to the question, and what the moment itself said it was, most probable first."""

    @property
    def score(self) -> float: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def quality(self) -> float: ...


class Candidates(Protocol):
    """Many at once, as columns: n scores and qualities, and for each place of a label an (n,) array of places in `names`
    and one of probabilities (0: no label)."""

    @property
    def scores(self) -> NDArray[np.floating]: ...
    @property
    def labels(self) -> Sequence[NDArray[np.int32]]: ...
    @property
    def probabilities(self) -> Sequence[NDArray[np.floating]]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def quality(self) -> NDArray[np.floating]: ...


class Question(Protocol):
    """What was asked: words, a picture or a sound, its place in the shared space, its labels."""

    @property
    def modality(self) -> str: ...
    @property
    def vector(self) -> Floats: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def text(self) -> str | None: ...


class WordsTo(NamedTuple):
    """Parameters for a question in words to moments that an encoder named.

    Attributes:
        relevance: weights of the features, then the bias.
        answer: weight of log evidence, weight of the cosine and bias for questions that hold no name of a class, then
            both for those that do.
        vocabulary: weights of the highest value of each of the first four features over the classes, then the bias.
    """

    relevance: tuple[float, ...]
    answer: tuple[float, ...]
    vocabulary: tuple[float, ...]


class Parameters(NamedTuple):
    """All that was fitted.

    Attributes:
        words_to: by the modality of the moments, "image" and "audio".
        alike: by modality, slope and bias over the cosine of two of one kind; "text" for words to words.
    """

    words_to: Mapping[str, WordsTo]
    alike: Mapping[str, tuple[float, float]]

    @classmethod
    def shipped(cls) -> Parameters:
        text = (resources.files("multimodal.retrieval") / "data" / "calibration.json").read_text(encoding="utf-8")
        found = json.loads(text)
        words_to = {
            modality: WordsTo(**{name: tuple(values) for name, values in rows.items()})
            for modality, rows in found["words_to"].items()
        }
        return cls(words_to, {name: (slope, bias) for name, (slope, bias) in found["alike"].items()})


class SearchCalibration:
    """Confidence in answers, over the vocabularies of the encoders that named the moments. Thread-safe.

    Args:
        vocabularies: by modality, "image" and "audio".
        parameters: fitted numbers; those of the embedded encoders where None.
    """

    def __init__(self, vocabularies: Mapping[str, Named], parameters: Parameters | None = None) -> None:
        self._parameters = parameters or Parameters.shipped()
        self.vocabularies = dict(vocabularies)
        self._relevance = {modality: Relevance(named) for modality, named in vocabularies.items()}
        self._numbers: dict[str, dict[str, int]] = {}
        self._classes: dict[str, NDArray[np.int64]] = {}
        for modality, relevance in self._relevance.items():
            numbers = {name: number for number, name in enumerate(dict.fromkeys(relevance.names))}
            self._numbers[modality] = numbers
            # of each class the number of its name: two classes may bear one name, such as cranes
            self._classes[modality] = np.array([numbers[name] for name in relevance.names], np.int64)

    def confidence(self, candidates: Sequence[Candidate], question: Question, modality: Modality) -> list[float]:
        """Probability that each candidate, a moment of `modality`, is a right answer to the question.

        A score is the cosine in the shared space; for a picture among pictures and a sound among sounds, in the encoder's
        own. A picture or a sound asked of another modality is asked by the names of what it most probably is.
        """
        return [float(c) for c in self.confidences(_columns(candidates), question, modality)]

    def confidences(self, candidates: Candidates, question: Question, modality: Modality) -> NDArray[np.floating]:
        """As `confidence`, over columns; 100,000 moments of ten labels take some 5 ms."""
        if question.modality == modality:
            slope, bias = self._parameters.alike[modality]
            found = _sigmoid(slope * candidates.scores + bias)
        elif question.modality == "text":
            found = self._in_words(candidates, question.vector, question.text, modality)
        else:
            found = self._by_labels(candidates, question, modality)
        return np.asarray(found * _worth(candidates))

    def in_vocabulary(self, question: Question, modality: Modality) -> bool:
        """Whether the question is about anything that the encoder of `modality` can name; always, unless it is in words."""
        if question.modality != "text" or modality == "text":
            return True
        highest = self._relevance[modality].features(question.vector, question.text)[:, :4].max(0)
        *weights, bias = self._parameters.words_to[modality].vocabulary
        return bool(highest @ np.array(weights) + bias >= 0.0)

    def _in_words(
        self, candidates: Candidates, vector: Floats, text: str | None, modality: str
    ) -> NDArray[np.floating]:
        fitted = self._parameters.words_to[modality]
        *weights, bias = fitted.relevance
        features = self._relevance[modality].features(vector, text)
        relevance = _sigmoid(features @ np.array(weights) + bias)  # (C,)
        numbers = self._numbers[modality]
        by_name = np.zeros(len(numbers) + 1, candidates.scores.dtype)  # the last one: what is no class of this encoder
        np.maximum.at(by_name, self._classes[modality], relevance)  # of two classes with one name the better answers
        by_label = by_name[np.array([numbers.get(name, -1) for name in candidates.names], np.int64)]
        evidence = _evidence(candidates, by_label, modality)
        slope, *rest = fitted.answer
        cosine, intercept = rest[2:] if features[:, 2:4].any() else rest[:2]
        return _sigmoid(slope * np.log(evidence + EVIDENCE_FLOOR) + cosine * candidates.scores + intercept)

    def _by_labels(self, candidates: Candidates, question: Question, modality: str) -> NDArray[np.floating]:
        if modality == "text":
            slope, bias = self._parameters.alike["text"]
            return _sigmoid(slope * candidates.scores + bias)
        total = np.zeros_like(candidates.scores)
        for name, probability in question.labels[:_EXAMPLE_LABELS]:
            total += probability * self._in_words(candidates, question.vector, name, modality)
        return np.minimum(total, 1.0)


class EmbeddedCalibration(SearchCalibration):
    """For the embedded encoders, whose vocabularies are read from the pulled models.

    Raises ModelMissingError where they have not been pulled.
    """

    def __init__(self) -> None:
        from multimodal.embeddings import models
        from multimodal.embeddings.conse import Vocabulary

        folders = {"image": "efficientnet-lite0", "audio": "yamnet"}
        super().__init__({modality: Vocabulary.load(models.folder_of(name)) for modality, name in folders.items()})


def _worth(candidates: Candidates) -> NDArray[np.floating]:
    """(n,) in [0, 1], by quality; but what is named silence is no bad sound: being quiet is what it is."""
    worth = np.clip(candidates.quality / DEAD, 0.0, 1.0)
    if SILENCE in candidates.names and candidates.labels:
        silent = candidates.labels[0] == list(candidates.names).index(SILENCE)
        worth = np.maximum(worth, silent * candidates.probabilities[0])
    return np.asarray(worth)


class _Columns(NamedTuple):
    scores: NDArray[np.floating]
    labels: list[NDArray[np.int32]]
    probabilities: list[NDArray[np.floating]]
    names: list[str]
    quality: NDArray[np.floating]


def _columns(candidates: Sequence[Candidate]) -> _Columns:
    numbers: dict[str, int] = {}
    rows = [[(numbers.setdefault(name, len(numbers)), p) for name, p in one.labels] for one in candidates]
    places = range(max((len(row) for row in rows), default=0))
    padded = [row + [(0, 0.0)] * (len(places) - len(row)) for row in rows]
    return _Columns(
        np.array([one.score for one in candidates], np.float64),
        [np.array([row[place][0] for row in padded], np.int32) for place in places],
        [np.array([row[place][1] for row in padded], np.float64) for place in places],
        list(numbers),
        np.array([one.quality for one in candidates], np.float64),
    )


def _evidence(candidates: Candidates, relevance: NDArray[np.floating], modality: str) -> NDArray[np.floating]:
    """(n,); `relevance` by place of a label's name. One column after the other: no (n, L) array is made."""
    shares = (p * relevance.take(label) for label, p in zip(candidates.labels, candidates.probabilities, strict=True))
    if modality == "image":
        total = np.zeros_like(candidates.scores)
        for share in shares:
            total += share
        return np.minimum(total, 1.0)
    none = np.ones_like(candidates.scores)
    for share in shares:
        none *= 1.0 - share
    return 1.0 - none


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))))
