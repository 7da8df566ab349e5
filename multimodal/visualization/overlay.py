"""Where in a picture the attention lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import InputError
from multimodal.visualization.canvas import entitle, figure, numbers, styled

WIDE = 5.0  # inches


@styled
def overlay(
    picture: Any, attention: Any, title: str = "Attention", *, colours: str = "viridis", strength: float = 0.7
) -> Any:
    """The picture, and it again under its attention map: the cells as they are, nothing smoothed between them.

    Args:
        picture: uint8 or float in [0, 1], (H, W, 3) or (3, H, W), tensor or array.
        attention: (rows, columns) over the whole picture, not below 0; the cell that has most is framed.
        strength: opacity of the cell that has most; the others' is in proportion.

    Raises:
        InputError: other shapes, NaN, infinity or negative shares.
    """
    pixels = as_pixels(picture)
    shares = numbers(attention, "attention")
    if shares.ndim != 2:
        raise InputError(f"attention is a map (rows, columns), not {shares.shape}")
    if shares.min() < 0:
        raise InputError(f"attention is made of shares, not below 0; the lowest is {shares.min():.3g}")
    height, width = pixels.shape[:2]
    tall = min(max(WIDE * height / width, 1.0), 2 * WIDE)
    made, axes = figure(2 * WIDE + 1.2, tall + 0.7, 1, 2)
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    for ax in axes.flat:
        ax.imshow(pixels, extent=place)
        ax.set_axis_off()
    top = float(shares.max()) or 1.0
    image = axes[0, 1].imshow(
        shares, cmap=colours, vmin=0, vmax=top, alpha=strength * shares / top, extent=place, interpolation="nearest"
    )
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    from matplotlib.patches import Rectangle

    cell = (width / shares.shape[1], height / shares.shape[0])
    axes[0, 1].add_patch(Rectangle(
        (column * cell[0] - 0.5, row * cell[1] - 0.5), *cell, fill=False, edgecolor="white", linewidth=1.5
    ))  # fmt: skip
    made.colorbar(image, ax=axes, label="share of the attention", shrink=0.8)
    entitle(made, title)
    return made


def as_pixels(picture: Any) -> NDArray[np.uint8]:
    """Any accepted form -> uint8 (H, W, 3)."""
    array = picture.detach().to("cpu").float().numpy() if isinstance(picture, Tensor) else np.asarray(picture)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(f"a picture is (H, W, 3) or (3, H, W), not {array.shape}")
    if array.dtype == np.uint8:
        return np.asarray(array, np.uint8)
    if isinstance(picture, Tensor) and not picture.is_floating_point():
        return np.asarray(array.clip(0, 255), np.uint8)
    return np.asarray(np.rint(numbers(array, "picture").clip(0, 1) * 255), np.uint8)
