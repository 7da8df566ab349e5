"""Sound to what YAMNet reads: 16 kHz mono, magnitude spectra of 25 ms frames every 10 ms, patches of 96 frames.

Front end of the published model: periodic Hann window of 400 samples, hop 160, FFT of 512 points, magnitude. A patch is
0.96 s; patches start every 0.48 s from the first sample. The end that fills no further patch is not heard; a sound shorter
than one patch is padded with silence to one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multimodal.embeddings.yamnet import BINS, FRAMES

RATE = 16_000
FRAME, HOP, POINTS = 400, 160, 512
PATCH_HOP = 48
"""Frames from one patch to the next: 0.48 s."""
SHORTEST = FRAME + (FRAMES - 1) * HOP
"""Samples that fill one patch: 15,600."""

Floats = NDArray[np.float32]

_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)


def resample(samples: Floats, rate: int, wanted: int = RATE) -> Floats:
    """Mono float32 at `rate` -> mono float32 at `wanted`, in one piece (soxr, its high quality)."""
    if rate == wanted or len(samples) == 0:
        return samples
    import soxr

    resampled: Floats = soxr.resample(samples, rate, wanted)
    return resampled


def spectra(samples: Floats) -> Floats:
    """Mono float32 (S,) at 16 kHz -> magnitudes (P, 96, 257), P = max(1, 1 + (frames - 96) // 48).

    Each frame is transformed on its own, so its bits depend on its 400 samples alone.
    """
    import cv2

    if len(samples) < SHORTEST:
        samples = np.concatenate([samples, np.zeros(SHORTEST - len(samples), np.float32)])
    patches = 1 + ((len(samples) - FRAME) // HOP + 1 - FRAMES) // PATCH_HOP
    count = FRAMES + (patches - 1) * PATCH_HOP
    frames = np.zeros((count, POINTS), np.float32)
    step = samples.strides[0]
    np.multiply(
        np.lib.stride_tricks.as_strided(samples, (count, FRAME), (HOP * step, step), writeable=False),
        _WINDOW, out=frames[:, :FRAME],
    )  # fmt: skip
    # One real transform a row, packed by OpenCV as re 0, re 1, im 1, ..., re 255, im 255, re 256: 20 times numpy's speed.
    packed = cv2.dft(frames, flags=cv2.DFT_ROWS)
    magnitudes = np.empty((count, BINS), np.float32)
    np.abs(packed[:, 0], out=magnitudes[:, 0])
    np.abs(packed[:, -1], out=magnitudes[:, -1])
    np.multiply(packed, packed, out=packed)
    inner = magnitudes[:, 1:-1]
    np.add(packed[:, 1:-1:2], packed[:, 2:-1:2], out=inner)
    np.sqrt(inner, out=inner)
    row, column = magnitudes.strides
    overlapping = np.lib.stride_tricks.as_strided(
        magnitudes, (patches, FRAMES, BINS), (PATCH_HOP * row, row, column), writeable=False
    )
    return np.ascontiguousarray(overlapping)
