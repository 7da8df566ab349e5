"""From single matches to an answer: neighbouring windows become one hit, best or newest first, each with its reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from pipelines.packet import Modality
from pipelines.store.reader import Found

Verdict: TypeAlias = Literal["match", "no confident match", "outside vocabulary"]

SHOWN_LABELS = 3
_VERB = {"image": "seen", "audio": "heard", "text": "said"}


class Match(NamedTuple):
    """One stream of one moment that answers one token: how sure, how near, and the words in context where words decided.

    `asked` are the class names nearest to the question.
    """

    found: Found
    confidence: float
    score: float
    asked: frozenset[str] = frozenset()
    words: str | None = None

    @property
    def labels(self) -> tuple[tuple[str, float], ...]:
        """Those of the moment's labels that were asked for, else its most probable ones."""
        named = tuple(label for label in self.found.labels if label[0] in self.asked)
        return (named or self.found.labels)[:SHOWN_LABELS]


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


class Scored(NamedTuple):
    """One moment that answers all tokens, with its matches and their streams.

    `rank`: larger is better; confidence, then nearness, then the newer one.
    """

    found: Found
    rank: tuple[float, float, int, str]
    streams: frozenset[str]
    matches: tuple[Match, ...]


def both(evidence: Sequence[Mapping[str, Sequence[Match]]]) -> list[Scored]:
    """The moments that answer every token. A moment is as likely as its least likely part; a part as its best stream."""
    shared = set(evidence[0]).intersection(*evidence[1:])
    moments: list[Scored] = []
    for moment in shared:
        matches = tuple(match for part in evidence for match in part[moment])
        confidence = min(max(match.confidence for match in part[moment]) for part in evidence)
        found = matches[0].found
        rank = (confidence, max(match.score for match in matches), found.start, moment)
        moments.append(Scored(found, rank, frozenset(match.found.stream for match in matches), matches))
    return moments


def merged(moments: Iterable[Scored], *, newest: bool, limit: int) -> list[Hit]:
    """Join moments of a group that touch or overlap in time and share a matching stream; the `limit` best or newest."""
    runs: dict[_Run, None] = {}  # in order, and quick to take one out of
    open_runs: dict[str, list[_Run]] = {}
    for moment in sorted(moments, key=lambda m: (m.found.start, m.found.end, m.found.moment)):
        group = open_runs.setdefault(moment.found.group, [])
        group[:] = [run for run in group if run.end >= moment.found.start]
        joined = _Run(moment)
        for run in [run for run in group if run.streams & moment.streams]:
            group.remove(run)
            del runs[run]
            joined = run.join(joined)
        group.append(joined)
        runs[joined] = None
    order = (lambda run: (run.start, *run.best.rank)) if newest else (lambda run: run.best.rank)
    return [run.hit() for run in sorted(runs, key=order, reverse=True)[:limit]]


class _Run:
    def __init__(self, first: Scored) -> None:
        self.members = [first]
        self.best = first
        self.start = first.found.start
        self.end = first.found.end
        self.streams = first.streams

    def join(self, later: _Run) -> _Run:
        self.members += later.members
        self.best = max(self.best, later.best, key=lambda m: m.rank)
        self.start = min(self.start, later.start)
        self.end = max(self.end, later.end)
        self.streams |= later.streams
        return self

    def hit(self) -> Hit:
        in_time = sorted(self.members, key=lambda m: (m.found.start, m.found.moment))
        ids = tuple(m.found.moment for m in in_time)
        reasons = self._reasons()
        return Hit(
            self.start,
            self.end,
            tuple(sorted(self.streams)),
            self.best.rank[0],
            reasons,
            ids,
            self.best.found.moment,
        )

    def _reasons(self) -> tuple[Reason, ...]:
        """The best match of each stream, those of the best moment first."""
        chosen: dict[str, Match] = {}
        for member in (self.best, *self.members):
            for match in member.matches:
                held = chosen.get(match.found.stream)
                if held is None or (match.confidence, match.score) > (held.confidence, held.score):
                    chosen[match.found.stream] = match
        own = self.best.streams
        ordered = sorted(
            chosen.values(), key=lambda m: (m.found.stream not in own, -m.confidence, -m.score, m.found.stream)
        )
        return tuple(
            Reason(
                match.found.stream,
                match.found.modality,
                match.confidence,
                match.score,
                () if match.words else match.labels,
                match.words,
                match.found.media,
            )
            for match in ordered
        )
