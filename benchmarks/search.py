"""How long a question takes over 100,000 moments, with real text search and the real index but hand-made vectors.

    python -m benchmarks.search [--moments 100000] [--questions 100] [--store DIR]

Each moment has one to three streams (picture 384 + 1280 dimensions, sound 384 + 1024, words 384); one in a hundred is
of the scene that is asked for. The mind and the calibration answer at once, so what is measured is index, store and
merging. The store is made anew unless DIR holds one already.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.retrieval.index import ExactIndex
from pipelines.packet import SECOND, Modality, Packet
from pipelines.protocols import Candidate, Encoded, Fused, Vector
from pipelines.search import Search
from pipelines.store import Retention, Store
from pipelines.store.schema import DATABASE
from pipelines.testing.moments import a_moment, a_view

SHARED, IMAGE, AUDIO = 384, 1280, 1024
_WORDS = tuple(f"word{number}" for number in range(2000))


def _directions(rng: np.random.Generator, count: int, dimension: int) -> Vector:
    rows = rng.standard_normal((count, dimension), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class _Mind:
    """A question in words lies near the scene that is asked for."""

    fingerprint = "benchmark"

    def __init__(self) -> None:
        self._rng = np.random.default_rng(7)
        self.scene = {size: _directions(self._rng, 1, size)[0] for size in (SHARED, IMAGE, AUDIO)}

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        raise NotImplementedError("this mind answers questions only")

    def fuse(self, windows: object) -> list[Fused]:
        raise NotImplementedError("this mind answers questions only")

    def question(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
    ) -> Encoded:
        modality: Modality = "text" if text is not None else "image" if image is not None else "audio"
        size = {"text": SHARED, "image": IMAGE, "audio": AUDIO}[modality]
        return Encoded(modality, self.near(SHARED), self.near(size), labels=(("scene", 0.9),))

    def near(self, size: int) -> Vector:
        """A direction with a cosine of about .87 to the scene's."""
        vector = self.scene[size] + 0.5 * _directions(self._rng, 1, size)[0]
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


class _Calibration:
    def confidence(self, candidates: Sequence[Candidate], question: Encoded, modality: Modality) -> list[float]:
        return [max(0.0, min(1.0, candidate.score)) for candidate in candidates]

    def in_vocabulary(self, question: Encoded, modality: Modality) -> bool:
        return True


def fill(directory: Path, count: int, mind: _Mind) -> float:
    """Store `count` moments; how many a second."""
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    last = None
    with Store(directory, retention=Retention(max_bytes=2**40)) as store:
        for number in range(count):
            scene = number % 1000 < 10
            streams = {}
            for stream, modality, size in (
                ("camera.hall", "image", IMAGE),
                ("mic.hall", "audio", AUDIO),
                ("notes", "text", SHARED),
            )[: 1 + number % 3]:
                shared = mind.near(SHARED) if scene else _directions(rng, 1, SHARED)[0]
                own = mind.near(size) if scene else _directions(rng, 1, size)[0]
                if modality == "text":
                    words = (" ".join(rng.choice(_WORDS, 8)),)
                    streams[stream] = a_view("text", shared, text=words)
                else:
                    labels = tuple((f"class {n}", round(0.5 / (n + 1), 3)) for n in rng.integers(0, 1000, 10))
                    streams[stream] = a_view(modality, shared, native=own, labels=labels)  # type: ignore[arg-type]
            last = store.put(a_moment(f"m{number}", streams, start=number * SECOND))
        if last is not None:
            last.result()
    return count / (time.perf_counter() - began)


def measure(directory: Path, mind: _Mind, questions: int) -> dict[str, float]:
    """Seconds of the first question of each kind (it may load an index); of those that follow p50, p95 and the mean of
    what the processor worked, which a busy machine does not stretch, ms."""
    rng = np.random.default_rng(2)
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "words, all three": lambda: {"question": f"{rng.choice(_WORDS)} {rng.choice(_WORDS)}"},
        "seen:": lambda: {"question": "seen:scene"},
        "seen: and heard:": lambda: {"question": "seen:scene heard:scene"},
        "said:": lambda: {"question": f"said:{rng.choice(_WORDS)}"},
        "words, a tenth of the time": lambda: {"question": "scene", "since": 10**12, "until": 11 * 10**12},
        "picture": lambda: {"image": b"x"},
        "sound": lambda: {"audio": (np.zeros((1, 1), np.int16), 16_000)},
    }
    numbers: dict[str, float] = {}
    every: list[float] = []
    with Search(directory, mind, ExactIndex, _Calibration()) as search:
        for kind, make in kinds.items():
            began = time.perf_counter()
            answer = search.ask(**make(), now=0)
            numbers[f"{kind}: first, s"] = time.perf_counter() - began
            took = []
            busy = time.process_time()
            for _ in range(questions):
                began = time.perf_counter()
                search.ask(**make(), now=0)
                took.append((time.perf_counter() - began) * 1e3)
            numbers[f"{kind}: processor, ms"] = (time.process_time() - busy) * 1e3 / questions
            numbers[f"{kind}: p50, ms"], numbers[f"{kind}: p95, ms"] = np.percentile(took, [50, 95]).tolist()
            numbers[f"{kind}: hits"] = len(answer.hits)
            every += took
    numbers["all: p50, ms"], numbers["all: p95, ms"] = np.percentile(every, [50, 95]).tolist()
    return numbers


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time of a question over many moments.")
    parser.add_argument("--moments", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.store or Path(temporary)
        mind = _Mind()
        numbers: dict[str, float] = {}
        if not (directory / DATABASE).exists():
            numbers["stored, moments/s"] = fill(directory, options.moments, mind)
        numbers |= measure(directory, mind, options.questions)
    json.dump({name: round(value, 2) for name, value in numbers.items()}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
