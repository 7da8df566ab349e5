"""Spoken digits of a speech synthesiser, made once into the cache of `material`.

espeak-ng is a program of Debian: it is asked for every digit in many voices, at two pitches and paces. Training, held part
and test share no voice: neither a vocal tract (variant) nor an accent. Audio is mono, 16 kHz.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.packages import MaterialError

RATE = 16_000
LENGTH = 15_600
"""Samples of one utterance, 0.975 s: one patch of the sound encoder. Shorter ones lie in silence, longer ones are cut."""

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STYLES = ((35, 150), (60, 190))
"""(pitch 0..99, words a minute)."""


class Voices(NamedTuple):
    accents: tuple[str, ...]
    variants: tuple[str, ...]


VOICES = {
    "train": Voices(("en-us", "en-gb-x-rp", "en-gb-x-gbcwmd"), ("m1", "m2", "m3", "m4", "f1", "f2", "adam", "linda")),
    "held": Voices(("en-us-nyc", "en-gb-x-gbclan"), ("m8", "klatt2", "aunty", "steph3")),
    "test": Voices(("en-gb-scotland", "en-029"), ("m5", "m6", "m7", "f3", "f4", "f5", "max", "steph")),
}
SYNTHESISER = "espeak-ng"
ADVICE = "the speech synthesiser espeak-ng is not installed: apt-get install espeak-ng"


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """Utterances: int16 (N, LENGTH), and the digit (N,) each says."""

    samples: NDArray[np.int16]
    digits: NDArray[np.int64]


def spoken(part: str) -> Spoken:
    """In the voices of "train", "held" or "test".

    Raises:
        MaterialError: no synthesiser here and nothing in the cache.
    """
    path = _place(VOICES[part])
    if not path.is_file():
        _make(VOICES[part], path)
    with np.load(path) as archive:
        return Spoken(archive["samples"], archive["digits"])


def _place(voices: Voices) -> Path:
    recipe = repr((voices, STYLES, WORDS, RATE, LENGTH)).encode()
    root = Path(os.environ.get("SENSORIUM_MATERIAL") or Path.home() / ".cache" / "sensorium" / "material")
    return root / f"spoken-digits-{hashlib.sha256(recipe).hexdigest()[:12]}.npz"


def _make(voices: Voices, path: Path) -> None:
    if shutil.which(SYNTHESISER) is None:
        raise MaterialError(ADVICE)
    asked = [(digit, f"{accent}+{variant}", *style) for digit in range(10) for accent in voices.accents
             for variant in voices.variants for style in STYLES]
    with ThreadPoolExecutor(2) as pool:
        samples = np.stack(list(pool.map(lambda one: _say(WORDS[one[0]], *one[1:]), asked)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as scratch:
        np.savez_compressed(scratch, samples=samples, digits=np.array([digit for digit, *_ in asked], np.int64))
    Path(scratch.name).replace(path)


def _say(word: str, voice: str, pitch: int, pace: int) -> NDArray[np.int16]:
    import soxr

    done = subprocess.run([SYNTHESISER, "-v", voice, "-p", str(pitch), "-s", str(pace), "--stdout", word],
                          capture_output=True, check=False)
    header, _, rest = done.stdout.partition(b"data")
    if done.returncode or len(rest) < 1000:
        raise MaterialError(f"espeak-ng does not speak as {voice}: {done.stderr.decode(errors='replace').strip()}")
    rate = int.from_bytes(header[24:28], "little")  # of a RIFF header; the length field is not set on a pipe
    speech = np.frombuffer(rest[4:len(rest) // 2 * 2], np.int16)
    loud = np.nonzero(np.abs(speech.astype(np.int32)) > 300)[0]
    speech = speech[loud[0]:loud[-1] + 1] if len(loud) else speech
    whole = np.zeros(LENGTH, np.int16)
    at_rate = soxr.resample(speech, rate, RATE)[:LENGTH]
    whole[:len(at_rate)] = at_rate
    return whole
