"""The real encoders, opened once per run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from multimodal import UnifiedMultimodalProcessor
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder


@pytest.fixture(scope="session")
def text(pulled: Path) -> TextModalityEncoder:
    return TextModalityEncoder(device="cpu")


@pytest.fixture(scope="session")
def image(pulled: Path) -> ImageModalityEncoder:
    return ImageModalityEncoder(device="cpu")


@pytest.fixture(scope="session")
def audio(pulled: Path) -> AudioModalityEncoder:
    return AudioModalityEncoder(device="cpu")


@pytest.fixture(scope="session")
def processor(pulled: Path) -> UnifiedMultimodalProcessor:
    made = UnifiedMultimodalProcessor()
    made.initialize()
    return made


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def picture(rng: np.random.Generator) -> Callable[[int, int], NDArray[np.uint8]]:
    """Smooth random pictures (height, width): blobs and edges, not white noise."""

    def make(height: int, width: int) -> NDArray[np.uint8]:
        import cv2

        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)

    return make


@pytest.fixture
def sound(rng: np.random.Generator) -> Callable[[float, int], NDArray[np.int16]]:
    """A falling chirp with noise: (seconds, rate) -> int16 (samples,)."""

    def make(seconds: float, rate: int) -> NDArray[np.int16]:
        t = np.arange(round(seconds * rate)) / rate
        wave = 0.4 * np.sin(2 * np.pi * (1500 * t - 200 * t * t)) + 0.02 * rng.normal(size=len(t))
        return np.rint(wave * 20000).astype(np.int16)

    return make
