"""The words of a question and of a name, brought to one form so that they can be compared by letter."""

from __future__ import annotations

import re

_FRAME = re.compile(r"\b(?:picture|photo|photograph|image|video|sound|noise)s? of\b")
_PLACE = re.compile(r"\b(?:on|in|at|near|under|behind|beside|inside|outside|over|next to|in front of)\b")
_WORD = re.compile(r"[a-z]+")
_BINDING = """
a an the of in on at to and or with some very it its is are was i my me we our your there this that these those for from
by as who which what
"""
_EMPTY = frozenset(_BINDING.split())
_IRREGULAR = """
calves calf children child elves elf feet foot geese goose halves half hooves hoof knives knife leaves leaf lives life
loaves loaf men man mice mouse oxen ox scarves scarf shelves shelf teeth tooth thieves thief wharves wharf wives wife
wolves wolf women woman
"""
_SINGULAR = dict(zip(_IRREGULAR.split()[::2], _IRREGULAR.split()[1::2], strict=True))
_SILENT = re.compile(r".+(?:ch|sh|x|ss|zz)e|.*[^aeiou]use")
"""Endings whose e may be that of the plural (boxes, churches, buses) or the word's own (axe, headache, fuse): it is taken
off both, so that neither has to be known."""


def about(text: str) -> str:
    """The part of a question in front of where the thing is: what stands behind "on", "in", "near" is not asked for."""
    bare = _FRAME.sub("", text.lower())
    head = _PLACE.split(bare, maxsplit=1)[0]
    return head if words(head) else bare


def words(text: str) -> list[str]:
    """Lower case, without the words that only bind others, without the endings of the plural and of -ing."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _EMPTY]


def _stem(word: str) -> str:
    word = _SINGULAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
        return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        word = word[:-1]
    return word[:-1] if _SILENT.fullmatch(word) else word
