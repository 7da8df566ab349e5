"""How long a question takes over 100,000 moments: the real store, index, calibration and text search; hand-made vectors.

    sensorium bench search        python -m benchmarks.search [--moments 100000] [--questions 100] [--store DIR]

Each moment has one to three streams (picture 384 + 1280 dimensions, sound 384 + 1024, words 384), the first two with ten
labels out of vocabularies as large as those of the embedded encoders. One in a hundred is of the scene that is asked for,
every second picture is of a street. The mind answers at once, so what is measured is everything but the encoders. The
store is made anew unless DIR holds one already.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Figure, report
from multimodal.embeddings.conse import Term, Vocabulary
from multimodal.retrieval.calibration import SearchCalibration
from multimodal.retrieval.index import ExactIndex
from pipelines.packet import SECOND, Modality, Packet
from pipelines.protocols import Encoded, Fused, Vector
from pipelines.search import Search
from pipelines.store import Retention, Store
from pipelines.store.schema import DATABASE
from pipelines.testing.moments import a_moment, a_view

MOMENTS, QUESTIONS = 100_000, 100
GOAL = 50.0  # ms
ROOM = 600.0  # MB
SHARED, IMAGE, AUDIO = 384, 1280, 1024
SCENE, STREET = "scene", "street"
_WORDS = tuple(f"word{number}" for number in range(2000))
_MODEL = "small-mind-1"  # of hand-made moments


def _directions(rng: np.random.Generator, count: int, dimension: int) -> Vector:
    rows = rng.standard_normal((count, dimension), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _spelled(prefix: str, number: int) -> str:
    """A name of letters only, as a vocabulary reads words."""
    return prefix + "".join(chr(ord("a") + int(digit)) for digit in str(number))


class World:
    """What can be seen and heard in it, and which way the scene and the street lie in each space."""

    fingerprint = _MODEL

    def __init__(self) -> None:
        self._rng = np.random.default_rng(7)
        self.toward = {
            (name, size): _directions(self._rng, 1, size)[0]
            for name in (SCENE, STREET)
            for size in (SHARED, IMAGE, AUDIO)
        }
        self.vocabularies = {
            "image": self._vocabulary("image", 1000, 1000),
            "audio": self._vocabulary("audio", 521, 200),
        }

    def _vocabulary(self, prefix: str, classes: int, kinds: int) -> Vocabulary:
        """Each class under two names, and words for kinds of six classes."""
        names = [SCENE, STREET, *(_spelled(prefix, number) for number in range(2, classes))]
        own = _directions(self._rng, classes, SHARED)
        own[0], own[1] = self.toward[SCENE, SHARED], self.toward[STREET, SHARED]
        terms = [Term(name, (number,)) for number, name in enumerate(names)]
        terms += [Term(_spelled(f"{prefix}other", number), (number,)) for number in range(classes)]
        terms += [
            Term(_spelled(f"{prefix}kind", number), tuple(self._rng.integers(2, classes, 6).tolist()))
            for number in range(kinds)
        ]
        terms += [Term(f"{name} of a kind", (number, 2, 3)) for number, name in enumerate((SCENE, STREET))]
        others = _directions(self._rng, len(terms) - classes, SHARED)
        others[-2:] = own[:2]
        return Vocabulary(names, own, terms, np.concatenate([own, others]))

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
        """Words that name the scene or the street lie there, others anywhere."""
        if text is None:
            modality: Modality = "image" if image is not None else "audio"
            size = IMAGE if image is not None else AUDIO
            return Encoded(modality, self.near(SCENE, SHARED), self.near(SCENE, size), labels=((SCENE, 0.9),))
        vector = self.near(text, SHARED) if text in (SCENE, STREET) else _directions(self._rng, 1, SHARED)[0]
        return Encoded("text", vector, vector, labels=((text, 0.9),), text=text)

    def near(self, name: str, size: int) -> Vector:
        """A direction with a cosine of about .87 to that of the scene or the street."""
        vector = self.toward[name, size] + 0.5 * _directions(self._rng, 1, size)[0]
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def fill(directory: Path, count: int, world: World) -> float:
    """Store `count` moments, one a second; how many a second were stored."""
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    last = None
    with Store(directory, retention=Retention(max_bytes=2**40)) as store:
        for number in range(count):
            of = SCENE if number % 1000 < 10 else STREET if number % 2 else None
            last = store.put(a_moment(f"{number:032x}", _streams(number, of, world, rng), start=number * SECOND))
        if last is not None:
            last.result()
    return count / (time.perf_counter() - began)


def _streams(number: int, of: str | None, world: World, rng: np.random.Generator) -> dict[str, Any]:
    streams = {}
    for stream, modality, size in (
        ("camera.hall", "image", IMAGE),
        ("mic.hall", "audio", AUDIO),
        ("notes", "text", SHARED),
    )[: 1 + number % 3]:
        here = of if modality == "image" or of == SCENE else None
        shared = world.near(here, SHARED) if here else _directions(rng, 1, SHARED)[0]
        if modality == "text":
            words = " ".join(("often", *rng.choice(_WORDS, 8), *([SCENE] if here else [])))
            streams[stream] = a_view("text", shared, text=(words,))
            continue
        names = world.vocabularies[modality].names
        first = names[0] if here == SCENE else names[1] if here else names[2 + int(rng.integers(len(names) - 2))]
        others = [names[2 + n] for n in rng.integers(0, len(names) - 2, 9)]
        labels = tuple((name, float(0.7 / (place + 1) ** 2)) for place, name in enumerate([first, *others]))
        own = world.near(here, size) if here else _directions(rng, 1, size)[0]
        streams[stream] = a_view(modality, shared, native=own, labels=labels)  # type: ignore[arg-type]
    return streams


class Timed(NamedTuple):
    """Milliseconds of a kind of question: the first one, which may load vectors, and those that follow."""

    first: float
    wall: list[float]
    cpu: float
    hits: int
    moments: int


def kinds(count: int) -> Mapping[str, Callable[[], dict[str, Any]]]:
    """Every kind of question to `count` moments."""
    rng = np.random.default_rng(2)
    tenth = {"since": count * SECOND // 10, "until": count * SECOND // 5}
    return {
        "plain words": lambda: {"question": SCENE},
        "plain words, a tenth of the time": lambda: {"question": SCENE, **tenth},
        "seen:": lambda: {"question": f"seen:{SCENE}"},
        "seen: what every second moment shows": lambda: {"question": f"seen:{STREET}"},
        "heard:": lambda: {"question": f"heard:{SCENE}"},
        "seen: and heard:": lambda: {"question": f"seen:{SCENE} heard:{SCENE}"},
        "said:": lambda: {"question": f"said:{rng.choice(_WORDS)}"},
        "said: a word of every text": lambda: {"question": "said:often"},
        "nothing that is there": lambda: {"question": _spelled("image", int(rng.integers(2, 900)))},
        "by picture": lambda: {"image": b"x"},
        "by sound": lambda: {"audio": (np.zeros((1, 1), np.int16), 16_000)},
    }


def measure(search: Search, make: Callable[[], dict[str, Any]], questions: int) -> Timed:
    """One kind of question, a first time and then `questions` times."""
    began = time.process_time()
    answer = search.ask(**make(), now=0)
    first = (time.process_time() - began) * 1e3
    took = []
    busy = time.process_time()
    for _ in range(questions):
        began = time.perf_counter()
        search.ask(**make(), now=0)
        took.append((time.perf_counter() - began) * 1e3)
    cpu = (time.process_time() - busy) * 1e3 / questions
    return Timed(first, took, cpu, len(answer.hits), sum(hit.count for hit in answer.hits))


def run(as_json: bool = False, *, moments: int = MOMENTS, questions: int = QUESTIONS, store: Path | None = None) -> int:
    """Print p50 and p95 of every kind, what loading costs, and memory; 1 where a goal is missed."""
    world = World()
    figures = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = store or Path(temporary)
        if not (directory / DATABASE).exists():
            figures.append(Figure("stored", fill(directory, moments, world), "moments/s"))
        before = _resident()
        every: list[float] = []
        with Search(directory, world, ExactIndex, SearchCalibration(world.vocabularies)) as search:
            for kind, make in kinds(moments).items():
                timed = measure(search, make, questions)
                if kind == "plain words":
                    figures.append(Figure("first question, with loading", timed.first / 1e3, "s of processor"))
                    figures.append(Figure("memory for words", _resident() - before, "MB", ROOM, most=True))
                elif kind.startswith("by "):
                    figures.append(Figure(f"first question {kind}", timed.first / 1e3, "s of processor"))
                p50, p95 = np.percentile(timed.wall, [50, 95]).tolist()
                note = f"processor {timed.cpu:.1f} ms; {timed.hits} hits of {timed.moments} moments"
                figures.append(Figure(f"{kind}, p50", p50, "ms", note=note))
                figures.append(Figure(f"{kind}, p95", p95, "ms", GOAL, most=True))
                every += timed.wall
            figures.append(Figure("memory with both questions by example", _resident() - before, "MB"))
        figures.append(Figure("all questions, p95", float(np.percentile(every, 95)), "ms", GOAL, most=True))
    notes = [f"{moments:,} moments, each kind asked {questions} times; hand-made vectors, no encoder in the time"]
    return report("search", figures, notes=notes, as_json=as_json)


def _resident() -> float:
    """Memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time of a question over many moments.")
    parser.add_argument("--moments", type=int, default=MOMENTS)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return run(options.json, moments=options.moments, questions=options.questions, store=options.store)


if __name__ == "__main__":
    sys.exit(main())
