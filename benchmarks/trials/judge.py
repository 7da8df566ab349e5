"""From the numbers of all seeds to figures and goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev

from benchmarks.measuring import Figure
from benchmarks.trials import tasks
from benchmarks.trials.runs import Values
from benchmarks.trials.training import STRATEGIES

Seeds = Mapping[int, Values]
POINTS = "points"


_GOALS: dict[tuple[str, str], tuple[float | None, bool]] = {
    ("signs", "bilinear"): (94.0, False),
    ("signs", "late"): (55.0, True),  # the control: no sum can
}


def figures_of(task: str, seeds: Seeds) -> list[Figure]:
    """Of one task, goals where the task has them."""
    found = {name: [seeds[seed][name] for seed in sorted(seeds)] for name in seeds[min(seeds)]}
    if task == "imbalance":
        return _imbalance(found)
    figures = [_accuracy(task, strategy, found) for strategy in STRATEGIES]
    own = _OWN.get(task, _information if task in tasks.KINDS else _nothing)
    return [*figures, *own(task, found), _adaptive(task, found)]


Lists = Mapping[str, Sequence[float]]


def _accuracy(task: str, strategy: str, found: Lists) -> Figure:
    goal, most = _GOALS.get((task, strategy), (None, False))
    best = max((name for name in found if name.startswith("only:") and "/" not in name), key=lambda name: mean(found[name]))
    control = f"mlp:{strategy}"
    sizes = [found[f"{name}/size"][0] for name in (strategy, control)]
    note = (f"{_spread(found[strategy])}; {best.removeprefix('only:')} alone {mean(found[best]):.1f}; "
            f"MLP {mean(found[control]):.1f} {_spread(found[control])}; {sizes[0]:,.0f} and {sizes[1]:,.0f} parameters")
    return Figure(f"{task}: {strategy}", mean(found[strategy]), "%", goal, most, note)


def _adaptive(task: str, found: Lists) -> Figure:
    """Seed by seed against the strategy with the highest mean."""
    best = max((name for name in STRATEGIES if name != "adaptive"), key=lambda name: mean(found[name]))
    return _difference(f"{task}: adaptive over the best, {best}", found["adaptive"], found[best])


def _difference(
    name: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None = None, note: str = ""
) -> Figure:
    """The mean difference in points; without a `goal`, it may be below 0 by the differences' standard deviation."""
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    within = stdev(apart) if len(apart) > 1 else 0.0
    return Figure(name, mean(apart), POINTS, -round(within, 3) if goal is None else goal,
                  note=f"{_spread(apart)}{'; ' if note else ''}{note}")


def _missing(task: str, found: Lists) -> list[Figure]:
    figures = []
    for strategy in STRATEGIES:
        figures.append(_difference(f"{task}: {strategy} over the MLP", found[strategy], found[f"mlp:{strategy}"], -1.5))
        figures += [
            _difference(f"{task}: {strategy} without {gone}, over {left} alone", found[f"{strategy}/without {gone}"],
                        found[f"only:{left}"], -2.0)
            for gone, left in (("left", "right"), ("right", "left"))
        ]
    return figures


def _noise(task: str, found: Lists) -> list[Figure]:
    """No worse than the same strategy without the noise, nor than the other half's own classifier."""
    figures = []
    for strategy in STRATEGIES:
        known = f"left out in {mean(found[f'{strategy}/left out']):.0f} % of the seeds"
        figures += [
            _difference(f"{task}: {strategy} over itself without the noise", found[strategy], found[f"{strategy}/without"],
                        note=known),
            _difference(f"{task}: {strategy} over the other half alone", found[strategy], found["only:left"]),
        ]
    return figures


def _audio_visual(task: str, found: Lists) -> list[Figure]:
    best = max(("only:image", "only:audio"), key=lambda name: mean(found[name]))
    averaging = f"averaging reaches {mean(found['averaging']):.1f} {_spread(found['averaging'])}"
    figures = []
    for strategy in STRATEGIES:
        figures += [
            _difference(f"{task}: {strategy} over {best.removeprefix('only:')} alone", found[strategy], found[best], 5.0),
            _difference(f"{task}: {strategy} over averaged log-probabilities", found[strategy], found["averaging"], 0.0,
                        averaging),
            _difference(f"{task}: {strategy}, measured quality over equal", found[strategy], found[f"{strategy}/equal"]),
            _difference(f"{task}: {strategy}, sound is noise, measured quality over equal", found[f"{strategy}/deafened"],
                        found[f"{strategy}/equal deafened"], note=f"masked {mean(found[f'{strategy}/deaf']):.1f}, "
                        f"by quality {mean(found[f'{strategy}/deafened']):.1f}"),
        ]
    return figures


def _information(task: str, found: Lists) -> list[Figure]:
    apart = []
    told = []
    for part in ("redundancy", "unique_1", "unique_2", "synergy"):
        true, estimated = mean(found[f"true/{part}"]), mean(found[f"estimated/{part}"])
        apart.append(abs(true - estimated))
        told.append(f"{part} {true:.3f} ({estimated:.3f})")
    return [Figure(f"{task}: largest error of the estimate", max(apart), "bits", 0.1, most=True,
                   note=f"true (estimated): {', '.join(told)}")]


def _imbalance(found: Lists) -> list[Figure]:
    note = (f"probe {mean(found['plain']):.1f} plain, {mean(found['modulated']):.1f} modulated; "
            f"together {mean(found['plain/together']):.1f} and {mean(found['modulated/together']):.1f}")
    return [_difference("imbalance: weaker probe, modulated over plain", found["modulated"], found["plain"], 0.0, note)]


def _nothing(_task: str, _found: Lists) -> list[Figure]:
    return []


_OWN: dict[str, Callable[[str, Lists], list[Figure]]] = {
    "missing": _missing, "noise": _noise, "audio-visual": _audio_visual,
}


def _spread(values: Sequence[float]) -> str:
    return f"± {stdev(values):.1f}" if len(values) > 1 else "one seed"
