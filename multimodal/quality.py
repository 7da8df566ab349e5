"""How good the signal itself is, judged on the given item alone; nothing of the model enters.

Every function returns its named parts, each in [0, 1] (1 is good), with ``quality``, the lowest of them: a picture that is
sharp and pitch dark is a bad picture. The bends of the scores are rules of thumb, named below, not fits.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, float]


def image_quality(pixels: NDArray[np.uint8]) -> Scores:
    """RGB pixels (H, W, 3); meant for the encoder's 224x224, where blur of any camera means the same.

    - exposure: mean luma (0..255) rises from 0.1 at 8 and below to 1 at 40 and falls from 1 at 215 to 0.1 at 247 and above:
      never to 0, for a thing on a white sheet can be seen.
    - sharpness: variance of the Laplacian (Pech-Pacheco et al. 2000), log scale: 0.1 at 1 or less, 1 at 100 and more.
    - content: standard deviation of the luma, 0 at 1 and below, 1 at 8 and above. A dead sensor, a covered lens, a blue
      screen have none, their noise included.
    """
    import cv2

    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean, deviation = (float(x[0, 0]) for x in cv2.meanStdDev(gray))
    _, edge = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
    variance = float(edge[0, 0]) ** 2
    exposure = max(0.1, min((mean - 4) / 36, (251 - mean) / 36))
    sharpness = 0.1 + 0.45 * np.log10(max(variance, 1.0))
    return _with_lowest({"exposure": exposure, "sharpness": sharpness, "content": (deviation - 1) / 7})


def audio_quality(samples: NDArray[np.float32], rate: int) -> Scores:
    """Mono samples in [-1, 1] at the rate they came in, before any resampling.

    - clipping: 1 without samples at full scale (|x| >= 0.999), 0 at 5 % of them.
    - loudness: RMS, 0 at -70 dBFS and below (silence, a dead microphone), 1 at -50 dBFS and above.
    - signal_to_noise: from the 10th and the 95th percentile of the RMS of 20 ms frames; 0.5 for a steady sound (rain is
      a sound too), 1 where the loud frames are 20 dB above the quiet ones.
    """
    if len(samples) == 0:
        return _with_lowest({"clipping": 1.0, "loudness": 0.0, "signal_to_noise": 0.5})
    loudness = (_decibel(float(np.sqrt(np.mean(np.square(samples))))) + 70) / 20
    clipped = float(np.count_nonzero(np.abs(samples) >= 0.999)) / len(samples)
    size = max(1, rate // 50)
    count = max(1, len(samples) // size)
    frames = np.sqrt(np.mean(np.square(samples[: count * size].reshape(count, -1)), axis=1))
    frames.sort()
    quiet, loud = (_decibel(float(frames[round(share * (count - 1))])) for share in (0.10, 0.95))
    return _with_lowest({
        "clipping": 1 - clipped / 0.05,
        "loudness": loudness,
        "signal_to_noise": 0.5 + (loud - quiet) / 40,
    })  # fmt: skip


_WORD = re.compile(r"\w+(?:['’]\w+)*")


def text_quality(text: str, pieces_per_word: float | None = None) -> Scores:
    """Words as they came.

    - content: 0 without a single letter or digit, else 1.
    - variety: share of the pairs of neighbouring words that are new, over 0.5; 1 for fewer than four words.
      "ha ha ha ha ha ha" gets 0.4.
    - english: pieces that the tokenizer needs per word (`pieces_per_word`; it knows English words whole): 1 up to 1.8,
      then falling to 0.2 at 3.4. Short texts cannot be told apart well, so it never falls below 0.2.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    if not words:
        return _with_lowest({"content": 0.0, "variety": 1.0, "english": 1.0})
    variety = 1.0
    if len(words) >= 4:
        pairs = list(zip(words, words[1:], strict=False))
        variety = len(set(pairs)) / len(pairs) / 0.5
    english = 1.0 if pieces_per_word is None else max(0.2, 1 - (pieces_per_word - 1.8) / 2)
    return _with_lowest({"content": 1.0, "variety": variety, "english": english})


def _decibel(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-7)))


def _with_lowest(parts: Scores) -> Scores:
    clipped = {name: float(min(1.0, max(0.0, value))) for name, value in parts.items()}
    return {"quality": min(clipped.values()), **clipped}
