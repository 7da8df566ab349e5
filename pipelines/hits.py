"""What a search says: hits, each with its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pipelines.packet import Modality

Verdict: TypeAlias = Literal["match", "no confident match", "outside vocabulary"]

_VERB = {"image": "seen", "audio": "heard", "text": "said"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a hit is one: its best match in one stream. `media` is its picture or sound in the store, while that is kept."""

    stream: str
    modality: Modality
    confidence: float
    similarity: float
    labels: tuple[tuple[str, float], ...]
    words: str | None
    media: str | None

    def __str__(self) -> str:
        what = f"“{self.words}”" if self.words else ", ".join(f"{name} {p:.2f}" for name, p in self.labels)
        return f"{_VERB[self.modality]} on {self.stream}: {what or f'alike ({self.similarity:.2f})'}"

    def to_json(self) -> dict[str, Any]:
        """With `labels` or `words`, whichever decided."""
        body: dict[str, Any] = {
            "modality": self.modality,
            "stream": self.stream,
            "confidence": round(self.confidence, 4),
            "similarity": round(self.similarity, 4),
            "text": str(self),
        }
        if self.labels:
            body["labels"] = [[name, round(p, 4)] for name, p in self.labels]
        if self.words:
            body["words"] = self.words
        if self.media:
            body["media"] = self.media
        return body


@dataclass(frozen=True, slots=True)
class Hit:
    """Neighbouring moments that answer the question, as one: [start, end) in ns, and its best moment's confidence.

    `streams` are those that matched; `modality` is that of the first reason; `ids` the moments in time order, of which
    `best` is the one to look at.
    """

    start: int
    end: int
    streams: tuple[str, ...]
    confidence: float
    reasons: tuple[Reason, ...]
    ids: tuple[str, ...]
    best: str

    @property
    def count(self) -> int:
        """How many moments it joins."""
        return len(self.ids)

    @property
    def modality(self) -> Modality:
        return self.reasons[0].modality

    def to_json(self) -> dict[str, Any]:
        """The form that scripts rely on."""
        return {
            "start": self.start,
            "end": self.end,
            "streams": list(self.streams),
            "modality": self.modality,
            "confidence": round(self.confidence, 4),
            "why": [reason.to_json() for reason in self.reasons],
            "ids": list(self.ids),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search says. `hint` is for people: what to do about an empty answer.

    `best` is the highest confidence any moment reached, also one too low to be shown.
    """

    verdict: Verdict
    hits: tuple[Hit, ...] = ()
    best: float = 0.0
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form that scripts rely on."""
        return {"verdict": self.verdict, "moments": [hit.to_json() for hit in self.hits]}
