"""What each modality contributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multimodal.errors import InputError
from multimodal.visualization.canvas import (
    MODALITY_COLOURS,
    PALETTE,
    entitle,
    figure,
    label,
    length,
    numbers,
    styled,
    ticks,
)

BARS = 200
"""Moments drawn one by one; more are one area a name, which takes a hundredth of the time and looks no different."""


@styled
def contributions(
    shares: Mapping[str, float] | Sequence[Mapping[str, float]],
    labels: Sequence[str] | None = None,
    title: str = "Contributions",
) -> Any:
    """Bars of the shares of one moment, or one stacked bar a moment for a sequence of them.

    Args:
        shares: by stream or modality, in [0, 1]; a moment may lack some.
        labels: of the moments; numbered where None.

    Raises:
        InputError: no moment, labels of another number, a share that is no number.
    """
    if isinstance(shares, Mapping):
        return _one(shares, title)
    moments = list(shares)
    if not moments:
        raise InputError("contributions: there is no moment")
    names = sorted({name for moment in moments for name in moment})
    if labels is not None and len(labels) != len(moments):
        raise InputError(f"labels: {len(moments)} are needed, one for each moment, not {len(labels)}")
    width = length(len(moments), most=10)
    made, axes = figure(width + 2.4, 3.2)
    ax = axes[0, 0]
    floor, edges = np.zeros(len(moments)), np.arange(len(moments) + 1) - 0.5
    colours = colours_of(names)
    for name in names:
        row = numbers([moment.get(name, 0.0) for moment in moments], name)
        if len(moments) <= BARS:
            ax.bar(range(len(moments)), row, bottom=floor, width=0.9, color=colours[name], label=label(name))
        else:
            steps = np.append(floor, floor[-1]), np.append(floor + row, floor[-1] + row[-1])  # (N + 1,) twice
            ax.fill_between(edges, *steps, step="post", color=colours[name], linewidth=0, label=label(name))
        floor += row
    ticks(ax.xaxis, [str(n) for n in range(len(moments))] if labels is None else labels, width)
    ax.tick_params(axis="x", labelrotation=90, length=2)
    ax.set(ylabel="share of the fused vector", ylim=(0, max(1.0, float(floor.max()))), xlim=(-0.6, len(moments) - 0.4))
    made.legend(loc="outside right upper", frameon=False)
    entitle(made, title)
    return made


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each: that of the modality where a name is one, else the next of the palette."""
    free = [colour for colour in PALETTE if colour not in MODALITY_COLOURS.values() or not set(names) & set(MODALITY_COLOURS)]
    others = [name for name in names if name not in MODALITY_COLOURS]
    return {
        **{name: MODALITY_COLOURS[name] for name in names if name in MODALITY_COLOURS},
        **{name: free[place % len(free)] for place, name in enumerate(others)},
    }


def _one(shares: Mapping[str, float], title: str) -> Any:
    if not shares:
        raise InputError("contributions: there is no modality")
    names = sorted(shares, key=lambda name: (-shares[name], name))
    values = numbers([shares[name] for name in names], "contributions")
    made, axes = figure(5.2, length(len(names), most=8) + 0.6)
    ax = axes[0, 0]
    colours = colours_of(sorted(names))
    bars = ax.barh(range(len(names)), values, color=[colours[name] for name in names], height=0.7)
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
    ax.set_yticks(range(len(names)), [label(name) for name in names])
    ax.invert_yaxis()
    ax.set(xlabel="share of the fused vector", xlim=(0, max(1.0, float(values.max())) * 1.1))
    entitle(made, title)
    return made
