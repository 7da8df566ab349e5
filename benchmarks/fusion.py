"""What each fusion strategy learns, with what is missing, noisy or uneven, and how fast it is: `sensorium bench fusion`.

Every strategy with a linear head, against the best single modality and a concatenation MLP of the same number of parameters;
mean and deviation over the seeds, all trained alike (`fusion_training`). Adaptive is compared with the strategy that has the
highest mean, seed by seed: it equals it where the mean difference is no further below 0 than the differences' standard
deviation.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

import torch

from benchmarks.fusion_judge import figures_of
from benchmarks.fusion_latency import latency
from benchmarks.fusion_quality import quality_weighting
from benchmarks.fusion_trials import TRIALS, Values
from benchmarks.material import MaterialError
from benchmarks.measuring import Figure, report

SEEDS = 5
PROCESSES = 2


def run(json: bool = False, device: str = "cpu", *, names: Sequence[str] = (), seeds: int = SEEDS) -> int:
    """Print the figures of the tasks `names` (all where empty); 1 where a goal is missed."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = list(names) or list(TRIALS)
    found: dict[str, dict[int, Values]] = {name: {} for name in chosen}
    refused: dict[str, str] = {}
    for name, seed, result in _all(chosen, seeds, device):
        if isinstance(result, str):
            refused[name] = result
        else:
            found[name][seed] = result
    figures: list[Figure] = []
    for name in chosen:
        figures += [Figure(name, None, "%", note=f"not measured: {refused[name]}")] if name in refused \
            else figures_of(name, found[name])
    if not names:
        figures += [*quality_weighting(), *latency(torch.device(device))]
    notes = [f"{seeds} seeds, ± the standard deviation over them; accuracies are of test data, after the last training step",
             f"computed on {device}" if device == "cpu" else f"computed on {torch.cuda.get_device_name()}"]
    return report("fusion", figures, notes=notes, as_json=json)


def trial(name: str, seed: int, device: str) -> Values | str:
    """In a process of its own; what cannot be measured here is said in words."""
    torch.set_num_threads(1)
    try:
        return TRIALS[name](seed, torch.device(device))
    except MaterialError as missing:
        return str(missing)


def _all(names: Sequence[str], seeds: int, device: str) -> Iterator[tuple[str, int, Values | str]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    jobs = [(name, seed) for name in names for seed in range(seeds)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task("fusion: tasks × seeds", total=len(jobs))
        for name, seed, result in _spread(jobs, device):
            bar.update(shown, advance=1, description=f"fusion: {name}, seed {seed}")
            yield name, seed, result


def _spread(jobs: Sequence[tuple[str, int]], device: str) -> Iterator[tuple[str, int, Values | str]]:
    """One process a core; where a GPU computes, this one."""
    if device != "cpu" or len(jobs) == 1:
        for name, seed in jobs:
            yield name, seed, trial(name, seed, device)
        return
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Values | str], tuple[str, int]] = {pool.submit(trial, *job, device): job for job in jobs}
        for future in as_completed(futures):
            yield *futures[future], future.result()
