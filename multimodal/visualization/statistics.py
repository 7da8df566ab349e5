"""How sharp attention is, in numbers and as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multimodal.errors import InputError
from multimodal.visualization.canvas import PALETTE, Floats, entitle, figure, styled
from multimodal.visualization.heatmap import panels

BINS = 40


@dataclass(frozen=True, slots=True, eq=False)
class AttentionStatistics:
    """Of weights (H, Tq, Tk); rows without any weight, that of a query whose keys are all masked, are left out of the means.

    Attributes:
        entropy: of each row in nats, (H, Tq); 0 all on one key, log Tk evenly spread.
        effective_keys: exp(entropy): among how many keys a row is spread, (H, Tq).
        peak: the largest share of each row, (H, Tq).
        zeros: share of the weights that are exactly 0.
        mean_entropy: over its highest value log Tk, in [0, 1]; 0 where there is one key.
        mean_peak: mean of `peak`.
        mean_effective_keys: mean of `effective_keys`.
        empty_rows: how many rows have no weight.
        disagreement: mean Jensen-Shannon divergence between the heads' rows and their mean, in nats, 0 where all agree;
            over the rows that no head leaves empty; None for one head.
    """

    entropy: Floats
    effective_keys: Floats
    peak: Floats
    zeros: float
    mean_entropy: float
    mean_peak: float
    mean_effective_keys: float
    empty_rows: int
    disagreement: float | None

    def summary(self) -> dict[str, float]:
        """The single numbers, by name."""
        named = {
            "mean entropy, 0 to 1": self.mean_entropy, "mean effective keys": self.mean_effective_keys,
            "mean of the largest share": self.mean_peak, "share of zeros": self.zeros, "empty rows": float(self.empty_rows),
        }  # fmt: skip
        return named if self.disagreement is None else {**named, "disagreement of heads, nats": self.disagreement}


def attention_statistics(attention_weights: Any) -> AttentionStatistics:
    """Statistics of weights (Tq, Tk), (H, Tq, Tk) or (1, H, Tq, Tk).

    Raises:
        InputError: another shape, negative, NaN or infinite weights, or rows that do not sum to 1 (or to 0).
    """
    heads = panels(attention_weights)
    sums = heads.sum(-1)  # (H, Tq)
    empty = sums == 0
    if not np.allclose(sums[~empty], 1, atol=2e-2):
        worst = sums[~empty][np.abs(sums[~empty] - 1).argmax()]
        raise InputError(f"rows of attention sum to 1; one of these sums to {worst:.4g}")
    entropy = _entropy(heads)
    most = np.log(heads.shape[-1])
    full = ~empty
    some = bool(full.any())
    effective = np.where(empty, 0.0, np.exp(entropy))
    shared = full.all(0)  # (H, Tq) -> (Tq,)
    divergence = (_entropy(heads.mean(0)) - entropy.mean(0)).clip(0)[shared]
    return AttentionStatistics(
        entropy=entropy,
        effective_keys=effective,
        peak=heads.max(-1),
        zeros=float((heads == 0).mean()),
        mean_entropy=float(entropy[full].mean() / most) if most > 0 and some else 0.0,
        mean_peak=float(heads.max(-1)[full].mean()) if some else 0.0,
        mean_effective_keys=float(effective[full].mean()) if some else 0.0,
        empty_rows=int(empty.sum()),
        disagreement=None if len(heads) == 1 else float(divergence.mean()) if divergence.size else 0.0,
    )


@styled
def distribution(attention_weights: Any, title: str = "How attention is spread") -> Any:
    """Two panels: how often a weight is how large (both scales logarithmic), and how many keys each row is spread over."""
    from matplotlib.ticker import NullFormatter

    heads = panels(attention_weights)
    found = attention_statistics(heads)
    made, axes = figure(8.4, 3.2, 1, 2)
    left, right = axes[0]
    weights = heads[heads > 0]
    if weights.size:
        low = max(float(weights.min()), 1e-6)
        edges = np.geomspace(low * 0.999, 1.001, BINS + 1)
        left.hist(weights.clip(low), bins=edges, color=PALETTE[0])
        left.set(xscale="log", yscale="log")
    for axis in (left.xaxis, left.yaxis):
        axis.set_minor_formatter(NullFormatter())
    left.set(xlabel="weight", ylabel="how many", title=f"{found.zeros:.0%} of the weights are 0")
    keys = heads.shape[-1]
    values, average = found.effective_keys[found.peak > 0], found.mean_effective_keys
    right.hist(values, bins=np.linspace(0, keys, min(BINS, max(4, keys)) + 1), color=PALETTE[1])
    right.axvline(average, color="black", linewidth=1)
    right.set(xlabel=f"effective keys of a row, of {keys}", ylabel="rows", title=f"{average:.1f} on average (line)")
    entitle(made, title)
    return made


def _entropy(rows: Floats) -> Floats:
    """(..., Tk) -> (...) in nats, 0 log 0 = 0."""
    entropy: Floats = -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(-1)
    return entropy.clip(0)
