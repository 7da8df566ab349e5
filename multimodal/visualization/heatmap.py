"""Who attends to what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from multimodal.errors import InputError
from multimodal.visualization.canvas import Floats, entitle, figure, length, numbers, styled, ticks

VALUES_UP_TO = 12
"""Rows and columns: the shares are written into the cells of a map that is no larger."""


@styled
def heatmap(
    attention_weights: Any,
    source_labels: Sequence[str] | None = None,
    target_labels: Sequence[str] | None = None,
    title: str = "Attention",
    *,
    colours: str = "cividis",
) -> Any:
    """A map of weights (Tq, Tk), or one panel a head for (H, Tq, Tk), all on one scale.

    Args:
        attention_weights: tensor or array, in [0, 1]; a batch of one, (1, H, Tq, Tk), is taken as (H, Tq, Tk).
        source_labels: of the Tq rows, who asks; numbered where None.
        target_labels: of the Tk columns, what is looked at.
        colours: name of a matplotlib colour map.

    Raises:
        InputError: another shape, labels of another number, NaN or infinity.
    """
    heads = panels(attention_weights)
    count, rows, columns = heads.shape
    sources = named(source_labels, rows, "source_labels")
    targets = named(target_labels, columns, "target_labels")
    across = min(count, 4)
    width, height = length(columns), length(rows)
    if count > 1:
        width, height = min(width, 3.2), min(height, 3.2)
    down = math.ceil(count / across)
    made, axes = figure(across * width + 2.2, down * (height + 1.2) + 0.4, down, across)
    top = float(heads.max()) or 1.0
    image = None
    for number, ax in enumerate(axes.flat):
        if number >= count:
            ax.set_axis_off()
            continue
        image = ax.imshow(heads[number], cmap=colours, vmin=0, vmax=top, aspect="auto", interpolation="nearest")
        ticks(ax.yaxis, sources, height)
        ticks(ax.xaxis, targets, width)
        ax.tick_params(axis="x", labelrotation=90, length=2)
        ax.tick_params(axis="y", length=2)
        if count > 1:
            ax.set_title(f"head {number + 1}")
        elif max(rows, columns) <= VALUES_UP_TO:
            _write(ax, heads[number], top)
    made.colorbar(image, ax=axes, label="share of the attention", shrink=0.9, aspect=30)
    entitle(made, title)
    return made


def panels(weights: Any) -> Floats:
    """(Tq, Tk), (H, Tq, Tk) or (1, H, Tq, Tk) -> (H, Tq, Tk)."""
    array = numbers(weights, "attention_weights")
    if array.ndim == 4 and len(array) == 1:
        array = array[0]  # (1, H, Tq, Tk) -> (H, Tq, Tk)
    if array.ndim == 2:
        array = array[None]  # (Tq, Tk) -> (1, Tq, Tk)
    if array.ndim != 3:
        raise InputError(f"attention_weights are (Tq, Tk), (H, Tq, Tk) or (1, H, Tq, Tk), not {array.shape}")
    if array.min() < 0:
        raise InputError(f"attention_weights are shares, not below 0; the lowest is {array.min():.3g}")
    return array


def named(labels: Sequence[str] | None, count: int, what: str) -> list[str]:
    """The labels, or numbers for them."""
    if labels is None:
        return [str(number) for number in range(count)]
    if isinstance(labels, str) or len(labels) != count:
        given = repr(labels) if isinstance(labels, str) else len(labels)
        raise InputError(f"{what}: {count} are needed, one for each, not {given}")
    return [str(one) for one in labels]


def _write(ax: Any, shares: Floats, top: float) -> None:
    for (row, column), share in np.ndenumerate(shares):
        colour = "black" if share > 0.55 * top else "white"
        ax.text(column, row, f"{share:.2f}".lstrip("0") or "0", ha="center", va="center", color=colour)
