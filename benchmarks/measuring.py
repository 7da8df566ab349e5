"""What the benchmarks share: repeats taken in turn, medians, goals, and a table or one JSON document of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        value: None where it could not be measured; `note` says why.
        goal: None where there is none. `most`: the goal is an upper limit.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    most: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """None where there is no goal or no value."""
        if self.goal is None or self.value is None:
            return None
        return self.value <= self.goal if self.most else self.value >= self.goal


class Rate(NamedTuple):
    """How many a second, and how many a second of the processor (all cores), which other programs slow down less."""

    time: float
    cpu: float


T = TypeVar("T")


def in_turn(measures: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Each measure once, then each again: what else the machine does meets all of them alike. The first round warms up."""
    found: dict[str, list[T]] = {name: [] for name in measures}
    for number in range(repeats + 1):
        for name, measure in measures.items():
            value = measure()
            if number:
                found[name].append(value)
    return found


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios of what was measured one after the other: steadier than the ratio of the medians."""
    return float(median(a / b for a, b in zip(above, below, strict=True)))


def rate(count: int, work: Callable[[], object]) -> Rate:
    """Of `work`, which does `count`."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return Rate(count / (time.perf_counter() - begun), count / (time.process_time() - used))


def report(title: str, figures: Sequence[Figure], *, notes: Sequence[str] = (), as_json: bool = False) -> int:
    """Print all; 1 where a goal was missed, else 0."""
    if as_json:
        rows = [
            {"name": f.name, "value": None if f.value is None else round(f.value, 4), "unit": f.unit}
            | ({"goal": f.goal, "reached": f.reached} if f.goal is not None else {})
            | ({"note": f.note} if f.note else {})
            for f in figures
        ]
        json.dump({"benchmark": title, "figures": rows, "notes": list(notes)}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(figures, notes)
    return int(any(f.reached is False for f in figures))


def _print(figures: Sequence[Figure], notes: Sequence[str]) -> None:
    from daemon.cli import _show

    table = _show.table("", "measured", "unit", "goal", "reached", "")
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≤' if figure.most else '≥'} {figure.goal:,g}"
        reached = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[figure.reached]
        table.add_row(figure.name, _shown(figure.value), figure.unit, goal, reached, f"[dim]{figure.note}[/]")
    out = _show.console()
    out.print(table)
    for note in notes:
        out.print(note, style="dim")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
