"""Write what is known in words about the 1000 ImageNet classes, in the order of the classifier.

``imagenet_classes.txt``: synset, its names, the kind of thing it is, its definition - tab-separated.
``imagenet_terms.txt``: every word or phrase that names a class or a kind of them, and the numbers of those classes.

All of it is WordNet 3.0 (see WORDNET-LICENSE.txt); ImageNet's numbers are WordNet's. The order of the classes is in
timm's wheel, WordNet in Debian's package wordnet-base:

    pip download --no-deps timm==1.0.31
    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python make_imagenet_classes.py timm-1.0.31-py3-none-any.whl wordnet/usr/share/wordnet .
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

_VAGUE = """
entity; physical entity; object; physical object; whole; unit; being; organism; living thing; animate thing;
instrumentality; instrumentation; artifact; artefact; device; container; covering; commodity; trade good;
good; consumer goods; conveyance; transport; structure; construction; matter; substance; solid; part; portion;
component part; component; piece; article; system; agent; cause; causal agent; causal agency; formation;
protection; protective covering; protective cover; barrier; restraint; constraint; mechanism; ware; relation;
abstraction; abstract entity; group; source; shelter; gear; paraphernalia; appurtenance; individual; soul;
mortal; someone; somebody; fluid; liquid; nutriment; nutrient; nourishment; nutrition; sustenance; aliment;
alimentation; implement; equipment; furnishing; establishment; natural object; plant part; plant structure;
plant organ; reproductive structure; obstruction; impediment; impedimenta; durables; durable goods;
consumer durables; vertebrate; craniate; chordate; placental; placental mammal; eutherian; eutherian mammal;
diapsid; diapsid reptile; measure; attribute; psychological feature; way; surface; area; region; thing; home;
domicile; abode; habitation; top; cover; support; fixing; fastening; span; power; act; event; outlet; wear;
issue; beast; brute; creature; covering material; fixings; ingredient; set; collection
"""
VAGUE = frozenset(word.strip() for word in _VAGUE.split(";"))
"""Words of WordNet's upper levels: they name so much that a question which holds one is about something else."""

SENSES = 2
"""A word counts for a kind only where that is one of its first meanings: a machine is not a car."""


class Synset(NamedTuple):
    names: tuple[str, ...]
    parents: tuple[str, ...]
    definition: str


def main(wheel: str, wordnet: str, target: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        classes = archive.read("timm/data/_info/imagenet_synsets.txt").decode().split()
    synsets, senses = _synsets(Path(wordnet) / "data.noun"), _senses(Path(wordnet) / "index.noun")
    terms: dict[str, set[int]] = {}
    lines = []
    for number, synset in enumerate(classes):
        own = synsets[synset[1:]]
        for name in own.names:
            terms.setdefault(name, set()).add(number)
        kind = ""
        for above in _ancestors(synset[1:], synsets):
            for name in synsets[above].names:
                if name in VAGUE or senses[name.lower().replace(" ", "_")].index(above) >= SENSES:
                    continue
                kind = kind or name
                terms.setdefault(name, set()).add(number)
        definition = own.definition.split(";")[0].strip()
        lines.append(f"{synset}\t{', '.join(own.names)}\t{kind or own.names[0]}\t{definition}\n")
    (Path(target) / "imagenet_classes.txt").write_text("".join(lines), encoding="utf-8")
    (Path(target) / "imagenet_terms.txt").write_text(
        "".join(f"{name}\t{' '.join(map(str, sorted(numbers)))}\n" for name, numbers in sorted(terms.items())),
        encoding="utf-8",
    )


def _synsets(path: Path) -> dict[str, Synset]:
    """By offset; the layout is wndb(5WN)."""
    found = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("  "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        names = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(count))
        pointers = fields[5 + 2 * count:]
        parents = tuple(
            pointers[at + 1] for at in range(0, 4 * int(fields[4 + 2 * count]), 4) if pointers[at] in {"@", "@i"}
        )
        found[fields[0]] = Synset(names, parents, gloss.strip())
    return found


def _senses(path: Path) -> dict[str, list[str]]:
    """Offsets of a word's meanings, the most frequent first."""
    found = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("  "):
            fields = line.split()
            found[fields[0]] = fields[-int(fields[2]):]
    return found


def _ancestors(offset: str, synsets: dict[str, Synset]) -> list[str]:
    """Nearest first."""
    found: list[str] = []
    level = [offset]
    while level:
        level = [parent for child in level for parent in synsets[child].parents if parent not in found]
        level = list(dict.fromkeys(level))
        found += level
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
