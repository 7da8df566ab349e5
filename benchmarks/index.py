"""Search among many vectors: exact, by graphs beside a tail, and bare usearch, in one run: `sensorium bench index`.

    python -m benchmarks.index [--full] [--sizes 10000 100000] [--questions 200] [--json]

The vectors are made: 300 topics of 20 themes each, every row its topic, .7 of its theme and .8 of its own, in 384 dimensions
whose spread falls as that of sentence encodings does. The best answer to a question, made likewise, has a cosine of about
.7, the tenth of about .6, unrelated rows of 0. All engines answer on one thread, one question each in turn, so that a busy
machine slows all alike. Bare usearch keeps float16, links and expansion as ours.

A million rows take minutes to put into graphs: `--full` builds both and keeps them in the cache; from then on they are
measured each time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Figure, report
from multimodal.retrieval import ExactIndex, SegmentedIndex
from multimodal.retrieval.graph import SCAN

DIMENSION, K = 384, 10
SIZES, MILLION, QUESTIONS = (10_000, 100_000), 1_000_000, 200
LINKS, PUT_IN, LOOKED_AT = 16, 128, 64
SLOWEST, RECALL, SHARE = 10.0, 0.98, 0.9  # ms; of the exact answers; of bare usearch's questions a second
TOPICS, THEMES = 300, 6000

Halves = NDArray[np.float16]
Ask = Callable[[NDArray[np.float32], "tuple[int, int] | None"], "list[int]"]


class Asked(NamedTuple):
    """Answers and milliseconds of one engine, by question."""

    keys: list[list[int]]
    took: list[float]


def vectors(count: int, seed: int) -> Halves:
    """(count, 384) at length 1."""
    fixed, random = np.random.default_rng(0), np.random.default_rng(seed)
    spread = (np.arange(1, DIMENSION + 1) ** -0.35).astype(np.float32)
    topics = fixed.standard_normal((TOPICS, DIMENSION), dtype=np.float32) * spread
    themes = fixed.standard_normal((THEMES, DIMENSION), dtype=np.float32) * spread
    rows = np.empty((count, DIMENSION), np.float16)
    for start in range(0, count, 50_000):
        theme = random.integers(THEMES, size=min(50_000, count - start))
        some = topics[theme % TOPICS] + np.float32(0.7) * themes[theme]
        some += np.float32(0.8) * random.standard_normal(some.shape, dtype=np.float32) * spread
        rows[start : start + len(some)] = some / np.linalg.norm(some, axis=1, keepdims=True)
    return rows


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sensorium" / "bench-index"


def measure(count: int, questions: int, kept: Path | None) -> list[Figure]:
    """Build, or open what `kept` holds, and ask."""
    name = f"{count // 1000}k" if count < MILLION else f"{count / MILLION:g}M"
    rows = vectors(count, 1)
    exact = ExactIndex(DIMENSION)
    exact.extend(range(count), rows, range(count))
    ours, theirs, building = _open(kept) if kept and (kept / "bare.usearch").exists() else _build(name, rows, kept)
    del rows
    asked = vectors(questions, 2).astype(np.float32)
    figures = [Figure(f"{name}: {what}", value, "rows a second of one core") for what, value in building.items()]
    engines: dict[str, Ask] = {
        "exact": lambda q, between: [hit.key for hit in exact.query(q, K, between)],
        "segments": lambda q, between: [hit.key for hit in ours.query(q, K, between)],
    }
    bare: dict[str, Ask] = {"bare usearch": lambda q, between: theirs.search(q, K, threads=1).keys.tolist()}
    found = _in_turn(engines | bare, asked, None)
    for engine, one in found.items():
        p50, p95 = np.percentile(one.took, [50, 95]).tolist()
        note = f"p50 {p50:.2f} ms, recall@10 {_recall(one, found['exact']):.4f}"
        aimed = SLOWEST if engine == "segments" or (engine == "exact" and count <= 100_000) else None
        figures.append(Figure(f"{name}: {engine}, p95", p95, "ms", aimed, most=True, note=note))
    figures.append(Figure(f"{name}: segments, recall@10", _recall(found["segments"], found["exact"]), "", RECALL))
    share = median(b / a for a, b in zip(found["segments"].took, found["bare usearch"].took, strict=True))
    note = "" if count > SCAN else "so few rows are scanned, whose answers are exact, though they are in a graph"
    figures.append(Figure(f"{name}: segments to bare usearch", share, "× questions/s", None if note else SHARE, note=note))
    for part in (0.01, 0.1, 0.5):
        between = (count // 4, count // 4 + int(count * part))
        filtered = _in_turn(engines, asked[:50], between)
        p95 = float(np.percentile(filtered["segments"].took, 95))
        recall = _recall(filtered["segments"], filtered["exact"])
        figures.append(Figure(f"{name}: in {part:.0%} of the time, p95", p95, "ms", note=f"recall@10 {recall:.4f}"))
        figures.append(Figure(f"{name}: in {part:.0%} of the time, recall@10", recall, "", RECALL))
    return figures


def _build(name: str, rows: Halves, kept: Path | None) -> tuple[SegmentedIndex, Any, dict[str, float]]:
    from usearch.index import Index

    count = len(rows)
    ours = SegmentedIndex(DIMENSION, connectivity=LINKS, expansion_add=PUT_IN, expansion=LOOKED_AT)
    ours.extend(range(count), rows, range(count))
    theirs: Any = Index(ndim=DIMENSION, metric="cos", dtype="f16", connectivity=LINKS, expansion_add=PUT_IN,
                   expansion_search=LOOKED_AT)  # fmt: skip
    speeds = {}
    with _progress() as told:
        for engine in ("segments", "bare usearch"):
            began = time.process_time()
            if engine == "segments":
                ours.build(lambda done, total: told(f"{name}: segments", done, total))
            else:
                for start in range(0, count, 4096):
                    stop = min(start + 4096, count)
                    theirs.add(np.arange(start, stop), rows[start:stop])
                    told(f"{name}: bare usearch", stop, count)
            speeds[f"put into the graph, {engine}"] = count / (time.process_time() - began)
    if kept is not None:
        ours.save(kept / "segments")
        theirs.save(str(kept / "bare.usearch"))
    return ours, theirs, speeds


def _open(kept: Path) -> tuple[SegmentedIndex, Any, dict[str, float]]:
    from usearch.index import Index

    theirs: Any = Index.restore(str(kept / "bare.usearch"), view=False)
    theirs.expansion_search = LOOKED_AT
    return SegmentedIndex.load(kept / "segments", verify=False), theirs, {}


def _in_turn(engines: dict[str, Ask], asked: NDArray[np.float32], between: tuple[int, int] | None) -> dict[str, Asked]:
    found = {name: Asked([], []) for name in engines}
    for number, question in enumerate((asked[0], *asked)):
        for name, ask in engines.items():
            began = time.perf_counter()
            keys = ask(question, between)
            took = (time.perf_counter() - began) * 1e3
            if number:  # the first question warms up
                found[name].keys.append(keys)
                found[name].took.append(took)
    return found


def _recall(one: Asked, exact: Asked) -> float:
    shares = [len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(one.keys, exact.keys, strict=True)]
    return float(np.mean(shares))


class _progress:  # noqa: N801 - used as a function
    """A bar on stderr where that is a terminal."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bars = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console,
                              disable=not console.is_terminal, transient=True)  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._bars.start()
        return self._told

    def _told(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done)

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def run(as_json: bool = False, *, full: bool = False, sizes: Sequence[int] = SIZES, questions: int = QUESTIONS) -> int:
    """Print the figures; 1 where a goal is missed."""
    figures = []
    for count in sizes:
        figures += measure(count, questions, None)
    if full or (cache() / "1M" / "bare.usearch").exists():
        figures += measure(MILLION, questions, cache() / "1M")
        left_out = ""
    else:
        left_out = "; a million rows: python -m benchmarks.index --full (once; some minutes)"
    notes = [f"made vectors of {DIMENSION} dimensions, {questions} questions, one thread{left_out}"]
    return report("index", figures, notes=notes, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Search among many vectors.")
    parser.add_argument("--full", action="store_true", help="with a million rows, built once and kept")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return run(options.json, full=options.full, sizes=options.sizes, questions=options.questions)


if __name__ == "__main__":
    sys.exit(main())
