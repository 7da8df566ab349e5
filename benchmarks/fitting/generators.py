"""Trains the generators that come with the program: `python -m benchmarks.fitting.generators pictures|sounds [OPTIONS]`.

The material is fetched by package name (`material.emoji`, `material.instruments`); nothing that is held out is seen, not
by the basis either. Each sample is learned under one of its descriptions, drawn anew every time: its name, its name in a
phrase or among its tags, or - one time in five - what the encoder makes of the picture or the sound itself, so that a
picture or a sound may stand for the words later.

Training can be stopped at any time and goes on from the last checkpoint in the work folder with ``--resume``, also with
more steps than were meant at first. The average of the weights along the way (decay .999, shorter at first) is what is
kept. ``--install`` writes it, halved to float16, into the package. On one core of 2026 a step takes 60 ms.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.spectrum import RATE
from multimodal.generation import flow
from multimodal.generation.basis import Basis
from multimodal.generation.decoder import Decoder, place_of, save

BATCH = 256
PEAK_RATE = 1e-3
OWN_VECTOR = 0.2
"""How often the encoder's vector of the sample itself stands for its description."""

BLUR = 0.02
"""Of a condition: normal noise on every entry, before it is brought back to length 1. Neighbours in meaning overlap."""

_ENLARGER_STEPS = 2000
_GRAIN = 0.25  # of the coordinates, largest: the enlarger also learns to take off what the flow leaves unsettled


class Material(NamedTuple):
    """samples (N, C, H, W) in the decoder's range, texts (N, V, 384) and `own` (N, 384), the encoder's vectors."""

    samples: Tensor
    texts: Tensor
    own: Tensor


def fit(kind: str, work: Path, *, steps: int, seed: int = 0, resume: bool = False) -> Decoder:
    """The averaged decoder after `steps` steps in all."""
    work.mkdir(parents=True, exist_ok=True)
    material = remembered(work / f"{kind}.material", picture_material if kind == "pictures" else sound_material)
    torch.manual_seed(seed)
    network, average = Decoder(kind), Decoder(kind)
    coarse = average.coarse(material.samples)
    average.basis = Basis.of(coarse, average.shape.coordinates)
    points = average.basis.coordinates(coarse)
    network.load_state_dict(average.state_dict())

    def flow_loss(generator: torch.Generator) -> Tensor:
        rows, condition = draw(material, generator)
        return flow.loss(network.network, points[rows], condition, generator=generator).mean()

    def enlarger_loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(points), (16,), generator=generator)
        grain = torch.randn(points[rows].shape, generator=generator) * _GRAIN * torch.rand(16, 1, generator=generator)
        return (network.array(points[rows] + grain) - material.samples[rows]).abs().mean()

    parts = [Part(kind, network.network, average.network, flow_loss, steps)]
    if network.enlarger is not None and average.enlarger is not None:
        parts.append(Part("enlarger", network.enlarger, average.enlarger, enlarger_loss, _ENLARGER_STEPS))
    for part in parts:
        training = Training(part, seed)
        saved = work / f"{part.name}.checkpoint"
        if resume and saved.exists():
            training.restore(torch.load(saved, weights_only=True))
        training.run(saved)
    return average


class Part(NamedTuple):
    """What is trained at once: `average` follows `network`, whose `loss` falls."""

    name: str
    network: nn.Module
    average: nn.Module
    loss: Callable[[torch.Generator], Tensor]
    steps: int


class Training:
    """Adam, from the first step or from a checkpoint to the last."""

    def __init__(self, part: Part, seed: int) -> None:
        self.part, self.done = part, 0
        self.optimizer = torch.optim.AdamW(part.network.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.02)
        self.generator = torch.Generator().manual_seed(seed)

    def run(self, saved: Path) -> None:
        """With a progress bar; a checkpoint every minute and at the end."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        name, steps = self.part.name, self.part.steps
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            task = progress.add_task(name, total=steps, completed=self.done)
            recent, since = 0.0, time.monotonic()
            while self.done < steps:
                value = self.step()
                recent = 0.98 * recent + 0.02 * value if recent else value
                progress.update(task, completed=self.done, description=f"{name} loss {recent:.4f}")
                if self.done == steps or time.monotonic() - since > 60:
                    since = time.monotonic()
                    progress.console.log(f"{name}: step {self.done} of {steps}, loss {recent:.4f}")
                    keep(saved, self.state())

    def step(self) -> float:
        """The loss before the step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.done, self.part.steps)
        value = self.part.loss(self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.part.network.parameters(), 1.0)
        self.optimizer.step()
        self.done += 1
        decay = min(0.999, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for slow, fast in zip(self.part.average.parameters(), self.part.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return value.item()

    def state(self) -> dict[str, Any]:
        return {"network": self.part.network.state_dict(), "average": self.part.average.state_dict(), "done": self.done,
                "optimizer": self.optimizer.state_dict(), "generator": self.generator.get_state()}  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.part.network.load_state_dict(state["network"])
        self.part.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.done = state["done"]


def rate(done: int, steps: int) -> float:
    """Learning rate: up over 100 steps, level, and down over the last third by half a cosine.

    A level rate lets a run be lengthened: resumed with more steps it goes on as if it had been meant to.
    """
    along = max(0.0, (3 * done / steps - 2))
    return PEAK_RATE * min(1.0, (done + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


def draw(material: Material, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch: rows (B,) of the material, and a description of each (B, 384)."""
    rows = torch.randint(len(material.samples), (BATCH,), generator=generator)
    which = torch.randint(material.texts.shape[1], (BATCH,), generator=generator)
    own = torch.rand(BATCH, generator=generator) < OWN_VECTOR
    chosen = torch.where(own[:, None], material.own[rows], material.texts[rows, which])
    return rows, F.normalize(chosen + BLUR * torch.randn(chosen.shape, generator=generator), dim=1)


def picture_material() -> Material:
    from benchmarks.material.emoji import pictures, pixels
    from multimodal.embeddings import ImageModalityEncoder
    from multimodal.generation.pictures import from_pixels

    named, _ = pictures()
    arrays = [pixels(one) for one in named]
    own = torch.stack([entry.embedding for entry in ImageModalityEncoder()(arrays)])
    texts = descriptions([(n.caption, n.tags) for n in named], "a picture of {}")
    return Material(from_pixels(torch.from_numpy(np.stack(arrays))), texts, own)


def sound_material() -> Material:
    from benchmarks.material.emoji import split_captions
    from benchmarks.material.instruments import captions, sounds
    from multimodal.embeddings import AudioModalityEncoder
    from multimodal.generation.mel import picture_of

    kept, _ = split_captions(captions())
    takes = list(sounds(kept))
    own = torch.stack([entry.embedding for entry in AudioModalityEncoder().encode_batch([(t.samples, RATE) for t in takes])])
    samples = torch.cat([picture_of(torch.from_numpy(take.samples)[None]) for take in takes])[:, None]  # (N, 1, T, M)
    return Material(samples, descriptions([(take.caption, ()) for take in takes], "the sound of {}"), own)


def descriptions(named: list[tuple[str, tuple[str, ...]]], phrase: str, variants: int = 8) -> Tensor:
    """(N, V, 384): half of the variants the bare name, the others the name in a phrase or among its tags."""
    from multimodal.embeddings import TextModalityEncoder

    rng = np.random.default_rng(0)
    texts: list[str] = []
    for name, tags in named:
        words = [list(rng.permutation(tags)[:3]) if tags else [] for _ in range(3)]
        texts += [name] * (variants - 4) + [phrase.format(name)] + [", ".join([name, *some]) for some in words]
    distinct = list(dict.fromkeys(texts))
    known = {text: entry.embedding for text, entry in zip(distinct, TextModalityEncoder()(distinct), strict=True)}
    return torch.stack([known[text] for text in texts]).view(len(named), variants, -1)


def remembered(path: Path, make: Callable[[], Material]) -> Material:
    """Made once for a work folder: it takes minutes."""
    if not path.exists():
        keep(path, make()._asdict())
    return Material(**torch.load(path, weights_only=True))


def keep(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["pictures", "sounds"])
    parser.add_argument("--steps", type=int, default=10_000, help="in all; the learning rate falls over the last third")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("out/generation"), help="where checkpoints are kept")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the work folder")
    parser.add_argument("--install", action="store_true", help="write the weights into the package at the end")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    decoder = fit(given.kind, given.work, steps=given.steps, seed=given.seed, resume=given.resume)
    save(decoder, given.work / f"{given.kind}.safetensors")
    if given.install:
        save(decoder, place_of(given.kind))


if __name__ == "__main__":
    main()
