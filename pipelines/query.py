"""The little language of search: words, what they are asked of, when, and of which streams.

    glass breaking                         asked of pictures, sounds and words alike
    seen:red car heard:"dog barking"       a token's words reach to the next token; all tokens must hold in one moment
    said:tea*                              words spoken or written; an asterisk lets a word go on
    heard:siren after:-2h before:2026-05-01T10:00 stream:mic.hall,mic.door

Quotes keep a colon, or a token's name, from being read as a token. Words that begin with "a picture of" or "the sound of" say
themselves what they are asked of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Literal, TypeAlias

from pipelines.errors import QuestionError
from pipelines.packet import Modality

Asked: TypeAlias = Literal["seen", "heard", "said", "any"]

FORMS = "seen: heard: said: before: after: stream:"
LONGEST = 1000
LAST = 2**63 - 1  # the largest instant that has a place in a store: in the year 2262
_ASKED: tuple[Asked, ...] = ("seen", "heard", "said")
_NAMES = (*_ASKED, "before", "after", "stream")
_MODALITIES: Mapping[Asked, tuple[Modality, ...]] = {"seen": ("image",), "heard": ("audio",), "said": ("text",)}
_PIECE = re.compile(
    r'(?P<name>(?!(?:https?|rtsp|ftp|file)://)[A-Za-z]{2,}):|"(?P<quoted>[^"]*)"|(?P<word>[^\s"]+)|(?P<space>\s+)|(?P<open>")'
)
_PICTURE = re.compile(
    r"\s*(?:(?:a|an|the|some|any)\s+)?(?:picture|photo|photograph|image|video)s?\s+of\b", re.IGNORECASE
)
_SOUND = re.compile(r"\s*(?:(?:a|an|the|some|any)\s+)?(?:sound|noise)s?\s+of\b", re.IGNORECASE)
_NO_TIME = "is no time; write 2026-05-01T10:00, 2026-05-01T10:00:00Z, -2h, or 2h ago"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?P<sign>-)?(?P<parts>(?:\d{1,9}(?:\.\d{1,9})?[smhdw])+)")


@dataclass(frozen=True, slots=True)
class Token:
    """Words, and what they are asked of."""

    asked: Asked
    words: str

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """A text may hold "a picture of" too, so those are asked unless a name says otherwise."""
        if self.asked != "any":
            return _MODALITIES[self.asked]
        if _PICTURE.match(self.words):
            return ("image", "text")
        return ("audio", "text") if _SOUND.match(self.words) else ("image", "audio", "text")


@dataclass(frozen=True, slots=True)
class Query:
    """A question taken apart; times in ns since the epoch, [after, before)."""

    tokens: tuple[Token, ...]
    after: int | None = None
    before: int | None = None
    streams: tuple[str, ...] = ()


def parse_query(text: str, now: int) -> Query:
    """Take a question apart; `now` (ns) is what relative times count from. Raises QuestionError.

    An empty text is an empty query: a picture or a sound may be the whole question.
    """
    if len(text) > LONGEST:
        raise QuestionError(f"the question has {len(text)} characters; ask in {LONGEST} or fewer")
    tokens: list[Token] = []
    free: list[str] = []
    bounds: dict[str, int] = {}
    streams: list[str] = []
    for name, words in _parts(text):
        if name is None:
            free += words
        elif name in _ASKED:
            if not " ".join(words).strip():
                raise QuestionError(f"{name}: stands without words; write what is looked for, as in {name}:dog")
            tokens.append(Token(name, " ".join(words)))
        elif name == "stream":
            if not words:
                raise QuestionError("stream: stands without a name; write it as in stream:camera.hall")
            streams += [part for part in words[0].split(",") if part]
            free += words[1:]
        else:
            if name in bounds:
                raise QuestionError(f"{name}: stands twice; once is enough")
            used, bounds[name] = _leading_time(name, words, now)
            free += words[used:]
    if any(word.strip() for word in free):
        tokens.insert(0, Token("any", " ".join(free)))
    after, before = bounds.get("after"), bounds.get("before")
    if after is not None and before is not None and after >= before:
        raise QuestionError("after: is not earlier than before:, so nothing can lie between them")
    return Query(tuple(tokens), after, before, tuple(dict.fromkeys(streams)))


def parse_time(text: str, now: int) -> int:
    """An instant in ns since the epoch: ISO 8601 (without a zone: this machine's), ``-2h``, ``2h ago``, ``1d12h``.

    A duration counts back from `now` (ns), with or without its minus sign. Raises QuestionError.
    """
    words = text.strip().removesuffix(" ago").strip()
    if words == "now":
        return now
    duration = _DURATION.fullmatch(words.replace(" ", ""))
    if duration is not None:
        parts = re.findall(r"([\d.]+)([smhdw])", duration["parts"])
        return max(0, now - round(sum(float(number) * _UNITS[unit] for number, unit in parts) * 1e9))
    try:
        moment = datetime.fromisoformat(words)
        whole = moment.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise QuestionError(f"{text.strip()!r} {_NO_TIME}") from error
    return min(LAST, int(whole) * 1_000_000_000 + moment.microsecond * 1000)


def _parts(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """The question as (token name or None, its words)."""
    name: str | None = None
    words: list[str] = []
    glued = False  # a word straight after `name:`, or a name inside a word, such as 10:30
    for piece in _PIECE.finditer("".join(c if c.isprintable() else " " for c in text)):
        if piece["open"]:
            raise QuestionError("a quote is opened and not closed")
        if piece["space"]:
            glued = False
        elif piece["name"] and not glued:
            yield name, words
            name, words = _known(piece["name"]), []
        else:
            word = piece["quoted"] if piece["quoted"] is not None else piece[0]
            if glued and words:
                words[-1] += word
            else:
                words.append(word)
            glued = True
    yield name, words


def _known(name: str) -> str:
    if name.lower() in _NAMES:
        return name.lower()
    near = get_close_matches(name.lower(), _NAMES, 1, 0.6)
    hint = f"did you mean {near[0]}:?" if near else f"there are {FORMS}"
    raise QuestionError(f"{name}: is not a token of this language; {hint} Put quotes round words that hold a colon.")


def _leading_time(name: str, words: list[str], now: int) -> tuple[int, int]:
    """How many of the words are the time, the longest way it can be read, and the time."""
    for used in range(min(3, len(words)), 0, -1):
        try:
            return used, parse_time(" ".join(words[:used]), now)
        except QuestionError:
            continue
    if not words:
        raise QuestionError(f"{name}: stands without a time; write it as in {name}:-2h or {name}:2026-05-01T10:00")
    raise QuestionError(f"{name}: {words[0]!r} {_NO_TIME}")
