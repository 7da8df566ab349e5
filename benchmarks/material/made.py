"""Pictures, sounds and texts that are all different, made here, so that no cache helps and nothing has to be fetched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240
RATE = 16_000
PATCH = 15_600
"""Samples of one sound patch, 0.975 s at 16 kHz."""

_WORDS = (  # noqa: SIM905 - a sentence is easier to read
    "a the someone two children dog cat truck train red green old small large near behind on under door kitchen street "
    "garden window table runs stands barks plays opens closes sings falls waits shouts rain wind music glass water"
).split()


def pictures(count: int, seed: int = 1) -> list[bytes]:
    """JPEGs of 320x240, each with gradients, shapes and grain: about as many bytes as a photograph has."""
    import cv2

    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for _ in range(6):
            x, y, r = (int(v) for v in rng.integers((0, 0, 8), (WIDTH, HEIGHT, 60)))
            cv2.circle(picture, (x, y), r, tuple(int(v) for v in rng.integers(0, 256, 3)), -1)
        grain = rng.normal(0, 6, picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
        made.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return made


def sounds(count: int, samples: int = PATCH, seed: int = 2) -> list[NDArray[np.int16]]:
    """Mono sounds at 16 kHz, int16 (samples, 1): a chord that fades, in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    made = []
    for _ in range(count):
        chord = sum(np.sin(2 * np.pi * frequency * time) for frequency in rng.uniform(80, 4000, 3)) * np.exp(-2 * time)
        made.append((4000 * chord + rng.normal(0, 300, samples)).astype(np.int16)[:, None])
    return made


def texts(count: int, seed: int = 3) -> list[str]:
    """Sentences of five to nine short words, none twice."""
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(_WORDS, int(rng.integers(4, 9))))} {number}" for number in range(count)]
