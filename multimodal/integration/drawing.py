"""The attention of a moment as pictures on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from multimodal.errors import InputError
from multimodal.types import AttentionWeights

if TYPE_CHECKING:
    from multimodal.visualization.visualizer import Drawn


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What of one moment is drawn; `image` (H, W, 3) uint8, or None."""

    attention: AttentionWeights
    contributions: Mapping[str, float]
    image: Any = None


def draw(seen: Seen, folder: str | Path, title: str) -> list[Drawn]:
    """A heat map of all questions over the cells, each map over the picture where there is one, and the contributions.

    Raises:
        InputError: nobody asked about a picture.
    """
    from multimodal.visualization import AttentionVisualizer

    weights = seen.attention.weights
    if not weights:
        raise InputError("there is no attention to draw: it takes a picture, and words or a sound that ask about it")
    visualizer = AttentionVisualizer(folder)
    rows, columns = next(iter(weights.values())).shape
    together = torch.stack([one.flatten() for one in weights.values()])  # Q of (rows, columns) -> (Q, cells)
    cells = [f"{row},{column}" for row in range(rows) for column in range(columns)]
    drawn = [visualizer.create_attention_heatmap(together, list(weights), cells, title)]
    if seen.image is not None:
        drawn += [
            visualizer.create_attention_overlay(seen.image, one, f"{title} {name.replace('->', ' to ')}")
            for name, one in weights.items()
        ]
    drawn.append(visualizer.create_contribution_chart(seen.contributions, title=f"{title} contributions"))
    return drawn
