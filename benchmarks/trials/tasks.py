"""What the fusion strategies are measured on: a `Task` of each kind, drawn by a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.material.speech import LENGTH, RATE, Spoken, spoken
from benchmarks.trials.training import Part, Task

SIZES = {"train": 4000, "held": 1000, "test": 2000}
WIDTH = 16
"""Numbers of a modality in the made-up tasks."""

KINDS = ("redundancy", "uniqueness", "synergy", "mixture")
DISTANCE = 3.0
"""Of a source's two centres from their middle, in deviations of the noise round them."""

EXPOSURES = (0.04, 1.0)
NOISE = 12.0
"""Of the camera, in grey values of 255."""

LOUDNESS = (-6.0, 18.0)
"""Of the voice over the noise, in dB."""

BANDS, SLICES = 24, 12
DELAY = 2000
"""Most samples before a voice begins: 0.125 s."""
PAIRINGS = 4
"""Moments made of each training picture, each with its own light, voice and noise."""

Floats = NDArray[np.float32]


def signs(seed: int) -> Task:
    """Is the sign of the first number of one modality that of the other? All else is noise; each alone says nothing."""
    random = np.random.default_rng(seed)
    parts = []
    for count in SIZES.values():
        left, right = (random.normal(size=(count, WIDTH)).astype(np.float32) for _ in range(2))
        parts.append(_part({"left": left, "right": right}, (left[:, 0] > 0) != (right[:, 0] > 0)))
    return Task(*parts, classes=2)


def known(kind: str, seed: int) -> tuple[Task, NDArray[np.float64]]:
    """One of `KINDS`, made of two binary sources a and b, and its distribution p(a, b, label), (2, 2, 2).

    redundancy: b = a, the label is a. uniqueness: the label is a. synergy: a xor b. mixture: a and b. Each source shows as
    one of two centres in noise (`WIDTH` numbers).
    """
    joint = np.zeros((2, 2, 2))
    rule = {"redundancy": lambda a, b: a, "uniqueness": lambda a, b: a, "synergy": lambda a, b: a ^ b,
            "mixture": lambda a, b: a & b}[kind]
    pairs = [(0, 0), (1, 1)] if kind == "redundancy" else [(0, 0), (0, 1), (1, 0), (1, 1)]
    for a, b in pairs:
        joint[a, b, rule(a, b)] = 1 / len(pairs)
    random = np.random.default_rng([seed, KINDS.index(kind)])
    centres = {name: DISTANCE * _unit(random.normal(size=WIDTH)) for name in ("left", "right")}
    parts = []
    for count in SIZES.values():
        a, b, label = np.unravel_index(random.choice(8, count, p=joint.ravel()), joint.shape)
        features = {name: (source[:, None] * 2 - 1) * centres[name] + random.normal(size=(count, WIDTH))
                    for name, source in (("left", a), ("right", b))}
        parts.append(_part(features, label))
    return Task(*parts, classes=2), joint


def halves(seed: int) -> Task:
    """Handwritten digits (scikit-learn's) cut down the middle: two modalities of 8 x 4 pixels."""
    pictures, digits, parts = _digits(seed)
    return Task(*(
        _part({"left": _flat(pictures[rows, :, :4]), "right": _flat(pictures[rows, :, 4:])}, digits[rows])
        for rows in parts
    ), classes=10)  # fmt: skip


def with_noise(task: Task, name: str, seed: int) -> Task:
    """The same, one modality being noise of the mean and deviation that each of its numbers had."""
    random = torch.Generator().manual_seed(seed)
    real = task.train.features[name]
    mean, deviation = real.mean(0), real.std(0)

    def drowned(part: Part) -> Part:
        noise = mean + deviation * torch.randn(len(part.labels), real.shape[1], generator=random)
        return Part({**part.features, name: noise}, part.labels, part.quality)

    return Task(drowned(task.train), drowned(task.held), drowned(task.test), task.classes)


def audio_visual(seed: int) -> Task:
    """A digit is seen in some light and said in some noise, in voices never heard in training; quality as measured.

    Picture: 64 pixels of a camera with a constant noise, its gain set by itself. Sound: log-mel energies of `SLICES` time
    slices, their mean taken away. The two of a moment share the digit and nothing else.

    Raises:
        MaterialError: neither speech nor a synthesiser here.
    """
    pictures, digits, parts = _digits(seed)
    random = np.random.default_rng([seed, 7])
    made = []
    for name, part in zip(("train", "held", "test"), parts, strict=True):
        voices = spoken(name)
        rows = np.repeat(part, PAIRINGS if name == "train" else 1)
        light = np.exp(random.uniform(*np.log(EXPOSURES), len(rows)))
        seen = [_photographed(pictures[row], exposure, random) for row, exposure in zip(rows, light, strict=True)]
        heard = [_overheard(_said(voices, digits[row], random), random) for row in rows]
        made.append(_part(
            {"image": np.stack([x for x, _ in seen]), "audio": np.stack([x for x, _ in heard])}, digits[rows],
            {"image": np.array([q for _, q in seen]), "audio": np.array([q for _, q in heard])},
        ))  # fmt: skip
    return Task(*made, classes=10)


def deafened(part: Part, seed: int) -> Part:
    """The moments of `audio_visual` with a sound that is noise alone; its quality as measured."""
    random = np.random.default_rng([seed, 8])
    heard = [_captured(random.normal(size=LENGTH), random) for _ in part.labels]
    noise = _part({"audio": np.stack([x for x, _ in heard])}, np.zeros(len(heard)),
                  {"audio": np.array([q for _, q in heard])}).to(part.labels.device)
    return Part(part.features | noise.features, part.labels, part.quality | noise.quality)


def log_mel(samples: Floats) -> Floats:
    """Mono (LENGTH,) at 16 kHz -> (SLICES * BANDS,): log energies, their mean taken away."""
    from multimodal.embeddings.spectrum import spectra

    energies = np.log(spectra(samples)[0] ** 2 @ _bands() + 1e-8)  # (96, 257) @ (257, BANDS)
    sliced = energies.reshape(SLICES, -1, BANDS).mean(1)  # (96, BANDS) -> (SLICES, BANDS)
    return (sliced - sliced.mean()).ravel().astype(np.float32)


def _digits(seed: int) -> tuple[Floats, NDArray[np.int64], list[NDArray[np.int64]]]:
    """Pictures (1797, 8, 8) in [0, 1], digits, and the rows to train on, held and to test on."""
    from sklearn.datasets import load_digits

    pictures, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(digits))
    shaped = (pictures.reshape(-1, 8, 8) / 16).astype(np.float32)  # (N, 64) -> (N, 8, 8)
    return shaped, digits.astype(np.int64), np.split(order, [900, 1200])


def _photographed(picture: Floats, exposure: float, random: np.random.Generator) -> tuple[Floats, float]:
    """(64,) with the camera's own gain, and the quality of what it saw."""
    import cv2

    from multimodal.quality import image_quality

    grey = np.clip(picture * 255 * exposure + random.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8)
    large = cv2.resize(grey, (224, 224), interpolation=cv2.INTER_NEAREST)
    pixels = grey.astype(np.float32).ravel()
    return (pixels - pixels.mean()) / (pixels.std() + 1), image_quality(np.repeat(large[..., None], 3, 2))["quality"]


def _said(voices: Spoken, digit: int, random: np.random.Generator) -> Floats:
    """One of its utterances, beginning at once or a little later."""
    chosen = voices.samples[random.choice(np.nonzero(voices.digits == digit)[0])].astype(np.float32) / 32768
    length = int(np.nonzero(chosen)[0][-1]) + 1
    whole = np.zeros(LENGTH, np.float32)
    start = int(random.integers(min(DELAY, LENGTH - length) + 1))
    whole[start:start + length] = chosen[:length]
    return whole


def _overheard(voice: Floats, random: np.random.Generator) -> tuple[Floats, float]:
    """Log-mel of the voice in noise, and the quality of what the microphone got."""
    power = float((voice**2).sum() / np.count_nonzero(voice))
    noise = np.sqrt(power / 10 ** (random.uniform(*LOUDNESS) / 10)) * random.normal(size=LENGTH)
    return _captured(voice + noise, random)


def _captured(sound: NDArray[Any], random: np.random.Generator) -> tuple[Floats, float]:
    """At some loudness."""
    from multimodal.quality import audio_quality

    heard = sound * 10 ** random.uniform(-1.5, 0) / np.abs(sound).max()
    samples = np.clip(heard, -1, 0.99).astype(np.float32)
    return log_mel(samples), audio_quality(samples, RATE)["quality"]


def _bands() -> Floats:
    """(257, BANDS): triangles, evenly spaced in mel from 100 Hz to 7 kHz."""
    mel = np.linspace(*(2595 * np.log10(1 + np.array([100, 7000]) / 700)), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.arange(257) * RATE / 512
    rising = (frequency[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _part(features: dict[str, NDArray[Any]], labels: NDArray[Any], quality: dict[str, NDArray[Any]] | None = None) -> Part:
    return Part({name: torch.from_numpy(np.asarray(x, np.float32)) for name, x in features.items()},
                torch.from_numpy(np.asarray(labels, np.int64)),
                {name: torch.from_numpy(np.asarray(q, np.float32)) for name, q in (quality or {}).items()})


def _flat(pixels: Floats) -> Floats:
    return (pixels.reshape(len(pixels), -1) - 0.3) / 0.35  # (N, 8, 4) -> (N, 32), of about unit variance


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
