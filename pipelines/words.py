"""Questions in words as expressions of SQLite's full-text search, whatever characters a person types."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r"(\w+)(\*?)", re.UNICODE)
# fmt: off
_COMMON = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "did", "do", "does", "for", "from", "had", "has",
    "have", "he", "her", "his", "i", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "she", "so",
    "that", "the", "their", "them", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which",
    "who", "will", "with", "you", "your",
))
# fmt: on
MOST_WORDS = 32


class Expressions(NamedTuple):
    """`every`: all the words, in any order; `phrase`: side by side in this order, None where a single word is asked."""

    every: str
    phrase: str | None


def full_text(words: str) -> Expressions | None:
    """Both expressions, or None where nothing but signs was typed.

    Each word is quoted, so nothing a person types is an operator; an asterisk behind a word makes it a beginning. Words
    that every sentence has are left out of `every` unless there are no others. Stems are the tokenizer's work.
    """
    found = [(word, star) for word, star in _WORD.findall(words) if word.strip("_")][:MOST_WORDS]
    if not found:
        return None
    telling = [(word, star) for word, star in found if word.lower() not in _COMMON] or found
    every = " AND ".join(f'"{word}" *' if star else f'"{word}"' for word, star in telling)
    if len(found) == 1:
        return Expressions(every, None)
    last = " *" if found[-1][1] else ""
    return Expressions(every, f'"{" ".join(word for word, _ in found)}"{last}')
