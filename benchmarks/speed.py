"""`sensorium bench speed`: each bare encoder beside the whole pipeline, complete moments, and the program itself.

    python -m benchmarks.speed [--json] [--repeats 5]

Bare is the least that can be done on this runtime: JPEGs decoded and resized, texts split into tokens, sounds turned into
spectra, then the model, in batches of the pipeline's size. The pipeline is what `sensorium replay` runs: sources,
channels, merge, windows, the mind, moments in a store on disk with their thumbnails. Both do the same
contents, all different, in turn, so that what else the machine does meets both. The ratio of the two is the pipeline's
cost; the goals in items a second were set on two cores with AMX, which other machines may not reach.

Where one kind is measured alone, a moment holds several streams of it, and sounds are two seconds long, as they are in the
default window: three patches. A complete moment holds one new picture, one sound of one patch and one text.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.beside import program
from benchmarks.material import made as contents
from benchmarks.measuring import Figure, Rate, in_turn, rate, ratio, report
from daemon import build, picture
from daemon.config import Config, load
from daemon.mind import open_mind
from multimodal.embeddings import models
from multimodal.embeddings.image import SIDE
from multimodal.embeddings.runtime import Device, open_runtime
from multimodal.embeddings.spectrum import spectra
from pipelines.clock import BootClock
from pipelines.group import Group
from pipelines.packet import SECOND, Packet
from pipelines.protocols import Mind
from pipelines.testing import ScriptedSource
from pipelines.window import Windower

BATCH = 32
SHARE = 0.9
"""Of what the bare encoders allow, the goal."""

GOALS = {
    "text": ("texts/s", 1000.0),
    "image": ("pictures/s", 280.0),
    "audio": ("patches/s", 2000.0),
    "moments": ("moments/s", 150.0),
}

PATCHES = 3
"""Of a sound of two seconds."""

STREAMS = {"text": 16, "image": 4, "audio": 8}
"""Streams of one kind in a group, each with one item in each window."""


class Bare:
    """The encoders without anything round them."""

    def __init__(self, device: Device = "auto") -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(models.folder_of("minilm") / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._run = {
            modality: open_runtime(name, device, batch=BATCH)
            for modality, name in (("text", "minilm"), ("image", "efficientnet-lite0"), ("audio", "yamnet"))
        }

        self._prepare: dict[str, Callable[[Sequence[Any]], Any]] = {
            "text": self._ids, "image": self._pixels, "audio": self._spectra,
        }  # fmt: skip

    def __call__(self, modality: str, items: Sequence[Any]) -> None:
        """Encode `items` in batches."""
        for i in range(0, len(items), BATCH):
            self._run[modality](self._prepare[modality](items[i : i + BATCH]))

    def _ids(self, texts: Sequence[str]) -> Any:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        block = np.zeros((len(ids), max(map(len, ids))), np.int64)
        for row, own in zip(block, ids, strict=True):
            row[: len(own)] = own
        return block

    def _pixels(self, jpegs: Sequence[bytes]) -> Any:
        import cv2

        block = np.empty((len(jpegs), SIDE, SIDE, 3), np.uint8)
        for out, jpeg in zip(block, jpegs, strict=True):
            cv2.resize(picture.decode(jpeg), (SIDE, SIDE), dst=out, interpolation=cv2.INTER_AREA)
        return block

    def _spectra(self, sounds: Sequence[Any]) -> Any:
        return np.concatenate([spectra(sound[:, 0].astype(np.float32) / 32768) for sound in sounds])


def through(config: Config, mind: Mind, packets: Mapping[str, Sequence[Packet]], length: int = SECOND) -> int:
    """All `packets`, by stream, through a pipeline with a store of its own; how many moments came out.

    `length`: of a window, ns.
    """
    with tempfile.TemporaryDirectory(prefix="sensorium-speed-") as folder:
        config = replace(config, store=replace(config.store, path=Path(folder)))
        clock = BootClock()
        group = Group(
            sources={stream: ScriptedSource(row) for stream, row in packets.items()},
            windower=Windower(length=length, streams=list(packets)),
            clock=clock,
            live=False,
        )
        with build.pipeline(config, group, mind, clock=clock) as pipeline:
            asyncio.run(pipeline.run())
        return pipeline.runner.moments


def spread(modality: Any, items: Sequence[Any], streams: int, length: int = SECOND) -> dict[str, list[Packet]]:
    """Packets of `items`, one of each stream in each window."""
    rate_ = contents.RATE if modality == "audio" else None
    return {
        f"{modality}.{number}": [
            Packet(f"{modality}.{number}", modality, window * length, item, rate_)
            for window, item in enumerate(items[number::streams])
        ]
        for number in range(streams)
    }


def encoders(config: Config, mind: Mind, bare: Bare, count: Mapping[str, int], repeats: int) -> list[Figure]:
    """Each encoder bare and through the pipeline, then complete moments beside their bare limit."""
    items: dict[str, Sequence[Any]] = {
        "text": contents.texts(count["text"]),
        "image": contents.pictures(count["image"]),
        "audio": contents.sounds(count["audio"] // PATCHES, 2 * contents.RATE),
    }
    moments = min(count.values())
    whole = {**items, "audio": contents.sounds(moments)}
    packets = {name: row for m, of in whole.items() for name, row in spread(m, of[:moments], 1).items()}
    measures: dict[str, Callable[[], Rate]] = {}
    for modality, row in items.items():
        length, many = (2 * SECOND, PATCHES) if modality == "audio" else (SECOND, 1)
        measures |= _both(config, mind, bare, modality, row, length=length, many=many)
    measures["moments"] = lambda: rate(moments, lambda: through(config, mind, packets))
    found = in_turn(measures, repeats)
    figures = []
    for modality in items:
        figures += _figures(modality, found[f"pipeline {modality}"], found[f"bare {modality}"])
    limits = [
        Rate(*(1 / sum(1 / own for own in together) for together in zip(*rates, strict=True)))
        for rates in zip(*(found[f"bare {modality}"] for modality in items), strict=True)
    ]
    return figures + _figures("moments", found["moments"], limits)


def _figures(name: str, own: Sequence[Rate], bare: Sequence[Rate]) -> list[Figure]:
    unit, goal = GOALS[name]
    return [
        Figure(f"{name}: what the bare encoders allow", median(rate_.time for rate_ in bare), unit),
        Figure(f"{name}: through the pipeline", median(rate_.time for rate_ in own), unit, goal),
        Figure(f"{name}: share", ratio([r.time for r in own], [r.time for r in bare]), "", SHARE),
        Figure(f"{name}: share, by the processor's time", ratio([r.cpu for r in own], [r.cpu for r in bare]), ""),
    ]


def _both(
    config: Config, mind: Mind, bare: Bare, modality: str, row: Sequence[Any], *, length: int, many: int
) -> dict[str, Callable[[], Rate]]:
    """Bare and through the pipeline; each item counts as `many`."""
    packets = spread(modality, row, STREAMS[modality], length)
    return {
        f"bare {modality}": lambda: rate(many * len(row), lambda: bare(modality, row)),
        f"pipeline {modality}": lambda: rate(many * len(row), lambda: through(config, mind, packets, length)),
    }


def run(
    as_json: bool = False, device: Device = "auto", *, repeats: int = 5, count: Mapping[str, int] | None = None,
    whole: bool = True,
) -> int:  # fmt: skip
    """All of it; `whole`: the recording and the program too. 1 where a goal was missed."""
    from daemon.cli import _pull

    _pull.ensure_models()
    config = load(Path("/dev/null"), environ={}, flags={"mind": {"device": device}})
    count = count or {"text": 1024, "image": 256, "audio": 1024}
    with open_mind(config) as mind:
        figures = encoders(config, mind, Bare(device), count, repeats)
        fingerprint = mind.fingerprint
    if whole:
        figures += program.figures(device)
    return report("speed", figures, notes=[f"model: {fingerprint}"], as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Bare encoders, the pipeline and the program.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    return run(options.json, repeats=options.repeats)


if __name__ == "__main__":
    sys.exit(main())
