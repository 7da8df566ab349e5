"""What each fusion strategy learns, with what is missing, noisy or uneven, and how fast it is: `sensorium bench fusion`.

Every strategy with a linear head, against the best single modality and a concatenation MLP of the same number of parameters;
mean and deviation over the seeds, all trained alike (`trials.training`); `python -m benchmarks.fusion --markdown` prints the
tables of docs/fusion.md. Adaptive is compared with the strategy that has the
highest mean, seed by seed: it equals it where the mean difference is no further below 0 than the differences' standard
deviation.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

import torch

from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure, report
from benchmarks.trials.judge import figures_of
from benchmarks.trials.latency import latency
from benchmarks.trials.markdown import accuracies, goals
from benchmarks.trials.quality import quality_weighting
from benchmarks.trials.runs import TRIALS, Values

SEEDS = (10, 11, 12, 13, 14)
"""None of them was looked at while the recipe was chosen (docs/fusion.md says which were)."""

PROCESSES = 2


def run(
    json: bool = False,
    device: str = "cpu",
    *,
    names: Sequence[str] = (),
    seeds: Sequence[int] = SEEDS,
    markdown: bool = False,
) -> int:
    """Print the figures of the tasks `names` (all where empty), or as tables in Markdown; 1 where a goal is missed."""
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
    notes = [f"seeds {', '.join(map(str, seeds))}, ± the standard deviation over them; accuracies are of test data",
             f"computed on {device}" if device == "cpu" else f"computed on {torch.cuda.get_device_name()}"]
    if markdown:
        measured = {name: by_seed for name, by_seed in found.items() if by_seed}
        sys.stdout.write("\n".join([*accuracies(measured), "", *goals(figures), "", *notes, ""]))
        return int(any(figure.reached is False for figure in figures))
    return report("fusion", figures, notes=notes, as_json=json)


def trial(name: str, seed: int, device: str) -> Values | str:
    """In a process of its own; what cannot be measured here is said in words."""
    torch.set_num_threads(1)
    try:
        return TRIALS[name](seed, torch.device(device))
    except MaterialError as missing:
        return str(missing)


def _all(names: Sequence[str], seeds: Sequence[int], device: str) -> Iterator[tuple[str, int, Values | str]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    jobs = [(name, seed) for name in names for seed in seeds]
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


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description="The fusion strategies side by side.")
    asked.add_argument("names", nargs="*", help=f"tasks: {', '.join(TRIALS)}; all where none is named")
    asked.add_argument("--markdown", action="store_true", help="tables in Markdown")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = asked.parse_args()
    raise SystemExit(run(device=given.device, names=given.names, seeds=given.seeds, markdown=given.markdown))
