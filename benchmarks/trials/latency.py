"""Milliseconds of one fusion of one moment, beside the goals of the table in the README."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.measuring import Figure, in_turn
from benchmarks.trials.training import STRATEGIES

DIMS, HIDDEN = {"text": 256, "image": 512, "audio": 384}, 512
GOALS = {"early": 0.1, "late": 0.15, "hierarchical": 0.5, "adaptive": 0.8}
CALLS, REPEATS = 20, 15


def latency(device: torch.device) -> list[Figure]:
    """One sample, all three present, in inference mode, contributions measured as always."""
    random = torch.Generator().manual_seed(0)
    features = {name: torch.randn(1, dim, generator=random).to(device) for name, dim in DIMS.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measures: dict[str, Callable[[], float]] = {}
        for name, made in STRATEGIES.items():
            torch.manual_seed(0)
            model = made(DIMS, HIDDEN).to(device).eval()
            measures[name] = lambda model=model: _milliseconds(lambda: model(features), device)  # type: ignore[misc]
        found = in_turn(measures, REPEATS)
    finally:
        torch.set_num_threads(threads)
    note = "one moment of 256, 512 and 384 numbers to 512, one thread"
    return [Figure(f"latency: {name}", median(times), "ms", GOALS.get(name), most=True, note=note)
            for name, times in found.items()]


@torch.inference_mode()
def _milliseconds(work: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / CALLS * 1000
