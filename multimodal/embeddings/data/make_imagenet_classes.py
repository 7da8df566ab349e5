"""Write imagenet_classes.txt: the names of the 1000 ImageNet classes, in the order of the classifier.

The names are WordNet's lemmas (facts; WordNet 3.0 licence: free use with its notice). They are taken from timm's tables:

    pip download --no-deps timm==1.0.31
    python make_imagenet_classes.py timm-1.0.31-py3-none-any.whl > imagenet_classes.txt
"""

from __future__ import annotations

import sys
import zipfile


def main(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        synsets = archive.read("timm/data/_info/imagenet_synsets.txt").decode().split()
        lines = archive.read("timm/data/_info/imagenet_synset_to_lemma.txt").decode().splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    for synset in synsets:
        sys.stdout.write(f"{synset}\t{lemmas[synset]}\n")


if __name__ == "__main__":
    main(sys.argv[1])
