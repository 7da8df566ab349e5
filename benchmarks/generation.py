"""Are the generators' pictures and sounds what was asked for? `sensorium bench generation`.

Each is looked at, or listened to, by the encoder of this library, which was not trained with the generators: among the
captions of all things of its half, which place does its own caption take (cosine, both sides centred)? The real pictures
and sounds are asked the same: no generator can be expected to be better than they. Chance is the middle of the list, and the
goal is three standard errors better than chance. A sound is also asked for its class: which of YAMNet's 521 is the nearest
to the caption in meaning, and which place has it among the scores.
"""

from __future__ import annotations

import json as json_documents
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from benchmarks.material.emoji import Named, pictures, pixels, split_captions
from benchmarks.material.instruments import captions, sounds
from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure, report
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.embeddings.runtime import Device, Runtime, open_runtime
from multimodal.embeddings.spectrum import spectra
from multimodal.errors import MultimodalError
from multimodal.generation import ImageToAudioGenerator, TextToImageGenerator

SEEDS = 3
"""Pictures and sounds of each caption."""


def ranks(vectors: Tensor, texts: Tensor, own: Sequence[int]) -> Tensor:
    """Place (N,), from 1, of text `own[i]` of (M, D) by its cosine with vector i of (N, D), both centred."""
    v = F.normalize(vectors - vectors.mean(0), dim=1)
    t = F.normalize(texts - texts.mean(0), dim=1)
    scores = v @ t.T
    return 1 + (scores > scores[torch.arange(len(own)), torch.as_tensor(own)][:, None]).sum(1).float()


def goal(count: int, trials: int) -> float:
    """Three standard errors below the mean place of `trials` blind guesses among `count`."""
    return (count + 1) / 2 - 3 * ((count**2 - 1) / 12 / trials) ** 0.5


def figures(name: str, made: Tensor, real: Tensor, places: int, trials: int) -> list[Figure]:
    """Places of what was made and of what is real."""
    chance = (places + 1) / 2
    return [
        Figure(f"{name}: place of the own caption", made.mean().item(), f"of {places}", goal(places, trials), True,
               f"chance {chance:g}; median {made.median().item():g}"),
        Figure(f"{name}: the real ones", real.mean().item(), f"of {places}",
               note=f"as good as can be expected; median {real.median().item():g}"),
    ]  # fmt: skip


def of_pictures(device: Device) -> list[Figure]:
    text, image = TextModalityEncoder(device=device), ImageModalityEncoder(device=device)
    generator = TextToImageGenerator(device=device, text_encoder=text)
    learned, held = pictures()
    step = len(learned) / len(held)
    halves = {"pictures never seen": held, "pictures learned": [learned[int(i * step)] for i in range(len(held))]}
    found = []
    for name, half in halves.items():
        texts = stacked(text([named.caption for named in half]))
        made = [[g.picture for g in generator.generate(named.caption, count=SEEDS)] for named in half]
        per_seed = [ranks(stacked(image(list(column))), texts, range(len(half))) for column in zip(*made, strict=True)]
        real = ranks(stacked(image([pixels(named) for named in half])), texts, range(len(half)))
        found += figures(name, torch.cat(per_seed), real, len(half), len(half))
    found.append(distance(generator, halves["pictures never seen"], learned))
    begun = time.perf_counter()
    generator.generate(texts[0], count=10)
    found.append(Figure("one picture", (time.perf_counter() - begun) / 10, "s", note="16 steps, guidance 2"))
    return found


def distance(generator: TextToImageGenerator, held: Sequence[Named], learned: Sequence[Named]) -> Figure:
    """How often a picture of something never seen is a copy: nearer to a learned picture than that one to any other."""
    seen = torch.from_numpy(np.stack([pixels(named) for named in learned])).flatten(1).float() / 255
    apart = torch.cdist(seen, seen).fill_diagonal_(torch.inf).min(1).values
    made = [generator.generate(named.caption)[0].picture for named in held]
    distances, nearest = torch.cdist(torch.from_numpy(np.stack(made)).flatten(1).float() / 255, seen).min(1)
    copies = (distances < 0.5 * apart[nearest]).float().mean().item()
    return Figure("pictures never seen: copies of a learned one", copies, "share",
                  note="at half the distance, or less, that the learned one has to its nearest")  # fmt: skip


def of_sounds(device: Device) -> list[Figure]:
    text, audio = TextModalityEncoder(device=device), AudioModalityEncoder(device=device)
    generator = ImageToAudioGenerator(device=device, text_encoder=text)
    listener = open_runtime("yamnet", device)
    every = captions()
    texts = stacked(text(every))
    classes = torch.from_numpy(audio.vocabulary.embeddings)
    learned, held = split_captions(every)
    halves = {"sounds never heard": sorted(held), "sounds learned": sorted(learned)[:: len(learned) // 30]}
    found = []
    for name, half in halves.items():
        own = [every.index(caption) for caption in half]
        made = [generator.generate(caption, count=SEEDS) for caption in half]
        takes: dict[str, list[Any]] = {}
        for take in sounds(half, takes=SEEDS):
            takes.setdefault(take.caption, []).append((take.samples, 16_000))
        heard = [audio.encode_batch([(g.samples, g.sample_rate) for g in some]) for some in made]
        real = [audio.encode_batch(takes[caption]) for caption in half]
        rows = [i for i, some in zip(own, made, strict=True) for _ in some]
        real_rows = [i for i, some in zip(own, real, strict=True) for _ in some]
        found += figures(
            name, ranks(torch.cat([stacked(e) for e in heard]), texts, rows),
            ranks(torch.cat([stacked(e) for e in real]), texts, real_rows), len(every), len(half),
        )  # fmt: skip
        nearest = (texts[own] @ classes.T).argmax(1).tolist()
        scores = class_places(listener, [[g.samples for g in some] for some in made], nearest)
        truth = class_places(listener, [[samples for samples, _ in takes[caption]] for caption in half], nearest)
        found.append(Figure(f"{name}: place of the nearest class", float(np.mean(scores)), f"of {len(classes)}",
                            goal(len(classes), len(half)), True,
                            f"chance {(len(classes) + 1) / 2:g}; real ones {np.mean(truth):.0f}"))  # fmt: skip
    begun = time.perf_counter()
    generator.generate(texts[0], count=5)
    found.append(Figure("one sound of 1.9 s", (time.perf_counter() - begun) / 5, "s", note="16 steps, 60 of Griffin-Lim"))
    return found


def class_places(listener: Runtime, takes: Sequence[Sequence[Any]], classes: Sequence[int]) -> list[float]:
    """Place of a class among YAMNet's mean scores, for each take (16 kHz) of each caption."""
    found = []
    for some, wanted in zip(takes, classes, strict=True):
        for samples in some:
            scores = listener(spectra(samples))[0].mean(0)
            found.append(1.0 + float((scores > scores[wanted]).sum()))
    return found


def stacked(entries: Sequence[Any]) -> Tensor:
    """(N, 384)."""
    return torch.stack([entry.embedding for entry in entries])


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the figures; 1 where a goal is missed, 2 where material or models cannot be had."""
    try:
        found = of_pictures(device) + of_sounds(device)
    except (MaterialError, MultimodalError) as error:
        print(json_documents.dumps({"error": str(error)}) if json else f"bench generation: {error}")
        return 2
    return report("generation", found, as_json=json, notes=[
        "never seen, never heard: things whose name no training met; the nearest thing in meaning is all they can get"
    ])  # fmt: skip
