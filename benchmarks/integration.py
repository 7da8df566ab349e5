"""The processor's modes and switches: moments a second, what cache, threads and 16 bits give, memory over 10,000 calls.

    sensorium bench integration [--device cuda] [--json]

Each mode processes the same moments (a sentence, a VGA picture, a second of sound) in turn with the others. Memory is that of
the whole process with real models, read before and after 10,000 calls, every one with new content, once the caches are full.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Figure, in_turn, rate, ratio, report
from multimodal import IntegrationConfig, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.integration.meter import resident
from multimodal.integration.modes import MODES

MOMENTS, REPEATS = 48, 3
CALLS, SETTLED = 10_000, 1_500
GROWTH = 16.0
"""MB that 10,000 calls may add: the allocator's own play. A leak of the vectors of one moment alone would add 70."""


def run(
    json: bool, device: str = "auto", *, moments: int = MOMENTS, repeats: int = REPEATS, calls: int = CALLS,
    settled: int = SETTLED,
) -> int:  # fmt: skip
    """Print the table; 1 where a goal was missed. `settled` calls fill the caches before memory is read."""
    fresh = _moments()
    base = IntegrationConfig(cache_size=0, index_size=0, device=device)  # type: ignore[arg-type]
    figures = _modes(base, _take(fresh, moments), repeats)
    figures += _switches(base, fresh, moments, repeats)
    figures += _memory(base, calls, settled)
    with _opened(replace(base, mixed_precision=True)) as processor:
        health = processor.health()
    notes = [health["fingerprint"], f"mixed_precision: {health['precision']}", f"{moments} moments in each measurement"]
    return report("integration", figures, notes=notes, as_json=json)


def _moments() -> Iterator[MultimodalInput]:
    """New content for ever, seeded."""
    dice = np.random.default_rng(7)
    for number in count():
        shade = dice.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = np.kron(shade, np.ones((40, 40, 1), np.uint8))  # (12, 16, 3) -> (480, 640, 3)
        sound = (dice.normal(size=16_000) * 3000).astype(np.int16)
        yield MultimodalInput(text=f"moment {number}: a dog barks at the postman", image=picture, audio=sound)


def _take(moments: Iterator[MultimodalInput], how_many: int) -> list[MultimodalInput]:
    return [next(moments) for _ in range(how_many)]


@contextmanager
def _opened(config: IntegrationConfig) -> Iterator[UnifiedMultimodalProcessor]:
    with UnifiedMultimodalProcessor(config) as processor:
        yield processor


def _speed(processor: UnifiedMultimodalProcessor, given: list[MultimodalInput], mode: str) -> Callable[[], float]:
    return lambda: rate(len(given), lambda: processor.process(given, mode)).time


def _speed_of_new(
    processor: UnifiedMultimodalProcessor, fresh: Iterator[MultimodalInput], moments: int
) -> Callable[[], float]:
    def measure() -> float:
        return _speed(processor, _take(fresh, moments), "sequential")()

    return measure


def _modes(base: IntegrationConfig, given: list[MultimodalInput], repeats: int) -> list[Figure]:
    with _opened(base) as processor:
        found = in_turn({mode: _speed(processor, given, mode) for mode in MODES}, repeats)
        outputs = {mode: processor.process(given[:8], mode) for mode in MODES}
    equal = all(
        torch.equal(a.unified_representation.representation, b.unified_representation.representation)
        for mode in MODES
        for a, b in zip(outputs["sequential"], outputs[mode], strict=True)
    )
    figures = [Figure(f"mode {mode}", median(found[mode]), "moments/s") for mode in MODES]
    figures += [
        Figure(f"{mode} over sequential", ratio(found[mode], found["sequential"]), "x") for mode in MODES[1:]
    ]
    exact = "bits are promised on the CPU" if base.device != "cpu" and torch.cuda.is_available() else ""
    figures.append(Figure("modes equal to the bit", float(equal), "1 is yes", None if exact else 1.0, note=exact))
    return figures


def _switches(base: IntegrationConfig, fresh: Iterator[MultimodalInput], moments: int, repeats: int) -> list[Figure]:
    """Each against the same without it, in turn, as ratios of moments a second."""
    given = _take(fresh, moments)
    rows: list[tuple[str, str, dict[str, Any], dict[str, Any], float | None, str]] = [
        ("num_workers 2 over 0", "parallel", {"num_workers": 2}, {"num_workers": 0}, None, "bound by the cores"),
        ("batch_size 16 over 1", "batch", {"batch_size": 16}, {"batch_size": 1}, None, ""),
        ("mixed_precision on over off", "batch", {"mixed_precision": True}, {}, None, "1 without 16 bits on the device"),
        ("max_image_size 64 over 224", "sequential", {"max_image_size": (64, 64)}, {}, None, "the encoder reads 224 still"),
        ("cache_size 256, all repeated, over 0", "sequential", {"cache_size": 256}, {}, 2.0, ""),
        ("index_size 1000 over 0", "sequential", {"index_size": 1000}, {}, None, "what remembering costs"),
        ("debug on over off", "sequential", {"debug": True}, {}, None, "what checking costs"),
    ]
    figures = []
    for name, mode, changed, plain, goal, note in rows:
        with _opened(replace(base, **changed)) as one, _opened(replace(base, **plain)) as other:
            found = in_turn({"with": _speed(one, given, mode), "without": _speed(other, given, mode)}, repeats)
        figures.append(Figure(name, ratio(found["with"], found["without"]), "x", goal, note=note))
    with _opened(replace(base, cache_size=256)) as one, _opened(base) as other:
        new = {"with": _speed_of_new(one, fresh, moments), "without": _speed_of_new(other, fresh, moments)}
        missed = in_turn(new, repeats)
    cost = ratio(missed["with"], missed["without"])
    return [*figures, Figure("cache_size 256, nothing repeated, over 0", cost, "x", note="what looking up costs")]


def _memory(base: IntegrationConfig, calls: int, settled: int) -> list[Figure]:
    """All that keeps something is switched on. Small pictures and no sound, so that 10,000 calls take minutes at most."""
    dice = np.random.default_rng(8)
    config = replace(
        base, cache_size=64, index_size=256, queue_size=16, use_attention_visualization=True, enable_real_time_processing=True
    )
    with _opened(config) as processor:

        def some(how_many: int) -> None:
            for number in range(0, how_many, 8):
                given = [
                    MultimodalInput(text=str(dice.random()), image=dice.integers(0, 256, (48, 64, 3), dtype=np.uint8))
                    for _ in range(8)
                ]
                if number // 8 % 4:
                    processor.process(given, MODES[number // 8 % 4 - 1])
                else:
                    for one in given:
                        processor.add_real_time_input(one)
                    list(processor.real_time_results())

        some(settled)
        gc.collect()
        before = resident()
        some(calls)
        gc.collect()
        after = resident()
    if before is None or after is None:
        return [Figure("memory", None, "MB", note="this system does not tell; it is read from /proc")]
    return [
        Figure(f"resident after {settled:,} calls", before / 1e6, "MB"),
        Figure(f"resident {calls:,} calls later", after / 1e6, "MB"),
        Figure("growth", (after - before) / 1e6, "MB", GROWTH, most=True),
    ]


if __name__ == "__main__":
    raise SystemExit(run(False))
