"""The figures of `sensorium bench fusion` as the tables of docs/fusion.md: one row a task, and one row a goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from benchmarks.measuring import Figure
from benchmarks.trials.runs import Values
from benchmarks.trials.training import STRATEGIES

Seeds = Mapping[int, Values]


def accuracies(found: Mapping[str, Seeds]) -> list[str]:
    """Of the strategies on each task, in percent; the best single modality, and the MLPs as the range of their means."""
    rows = [["task", *STRATEGIES, "best alone", "MLPs of the same sizes"]]
    for task, seeds in found.items():
        of = {name: [values[name] for values in seeds.values()] for name in next(iter(seeds.values()))}
        if STRATEGIES.keys() - of.keys():
            continue  # imbalance: no strategies side by side
        alone = max((of[n] for n in of if n.startswith("only:") and "/" not in n), key=mean)
        controls = [mean(of[f"mlp:{strategy}"]) for strategy in STRATEGIES]
        spread = f"{min(controls):.1f}-{max(controls):.1f}"
        rows.append([task, *(_shown(of[strategy]) for strategy in STRATEGIES), _shown(alone), spread])
        if task == "missing":
            for gone, left in (("left", "right"), ("right", "left")):
                rest = (_shown(of[f"{strategy}/without {gone}"]) for strategy in STRATEGIES)
                rows.append([f"{task}: without {gone}", *rest, _shown(of[f"only:{left}"]), ""])
    return _table(rows)


def goals(figures: Sequence[Figure]) -> list[str]:
    """Every figure that has a goal."""
    rows = [["what", "measured", "goal", "reached", ""]]
    for figure in figures:
        if figure.goal is not None:
            measured = "-" if figure.value is None else f"{figure.value:.2f} {figure.unit}"
            reached = {None: "", True: "yes", False: "**no**"}[figure.reached]
            rows.append([figure.name, measured, f"{'≤' if figure.most else '≥'} {figure.goal:.2f}", reached, figure.note])
    return _table(rows)


def _shown(values: Sequence[float]) -> str:
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
