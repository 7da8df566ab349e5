"""What the generators were trained on: pictures with a name in words, and sounds with one; each named thing in one half only.

Pictures: Noto Emoji at 64x64 (Google, Apache-2.0, from npm's `emoji-datasource-google`), named by emojibase's English
labels and tags (MIT). Left out: flags, symbols and keycaps, clock faces, and all but one of the variants of a person that
differ in sex, hair, skin or direction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import picture
from benchmarks.material.packages import Package, folder

NOTO = Package(
    name="emoji-datasource-google", kind="npm", version="16.0.0", keep=("img/google/64", "LICENSE", "README.md"),
    digest="497238d0c6de665897dfe232483de410e54d21270d7f4c863913713858ceef3a",
)
LABELS = Package(
    name="emojibase-data", kind="npm", version="17.0.0", keep=("en/data.json", "LICENSE"),
    digest="3dcc9073e3452fc3d68c6a4210f70c4b190d04f0d87eeac497e04bb342a5107b",
)

HELD_OUT = 0.1
"""Share of the named things that no training sees."""

_LEFT_OUT = {None, 2, 8, 9}  # emojibase's groups: regional letters, components, symbols, flags
_WHO = re.compile(r"\b(man|woman|person|men|women|people|boy|girl|facing right)\b")


class Named(NamedTuple):
    """A picture or a sound of a thing.

    Attributes:
        caption: its name.
        tags: further words for it.
    """

    caption: str
    tags: tuple[str, ...]
    path: Path


def pictures() -> tuple[list[Named], list[Named]]:
    """For training, and held out."""
    root = folder(NOTO) / "img/google/64"
    entries = json.loads((folder(LABELS) / "en/data.json").read_text(encoding="utf-8"))
    kept: dict[str, Named] = {}
    for entry in entries:
        label, code = entry["label"], entry["hexcode"].lower()
        names = (root / f"{code}.png", root / f"{code.replace('-fe0f', '')}.png", root / f"{code}-fe0f.png")
        path = next((name for name in names if name.exists()), None)
        if path is None or entry.get("group") in _LEFT_OUT or re.search(r"o’clock|-thirty|^family|skin tone", label):
            continue
        thing = re.sub(r"[\s:,]+", " ", _WHO.sub("", label)).strip() or label
        kept.setdefault(thing, Named(label.replace(":", ","), tuple(entry.get("tags", ())), path))
    things = sorted(kept.values(), key=lambda named: named.caption)
    seen, _ = split_captions(named.caption for named in things)
    return [n for n in things if n.caption in seen], [n for n in things if n.caption not in seen]


def split_captions(captions: Iterable[str]) -> tuple[set[str], set[str]]:
    """For training, and held out: drawn by a fixed seed, in the order of the names."""
    ordered = sorted(set(captions))
    drawn = np.random.default_rng(2210).permutation(len(ordered))[: round(HELD_OUT * len(ordered))]
    held = {ordered[i] for i in drawn}
    return set(ordered) - held, held


def pixels(named: Named) -> NDArray[np.uint8]:
    """(64, 64, 3), on white."""
    return picture(named.path)
