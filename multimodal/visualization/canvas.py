"""What all figures share: no global state, colours for every eye, labels that are readable and do not overlap."""

from __future__ import annotations

import math
import re
import textwrap
import threading
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import ConfigError, InputError

Floats = NDArray[np.float64]
Given = ParamSpec("Given")
Made = TypeVar("Made")

FORMATS = ("png", "svg", "pdf")
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito, "Color Universal Design" (2008)."""

MODALITY_COLOURS = {"text": PALETTE[0], "image": PALETTE[1], "audio": PALETTE[2]}
LONGEST_LABEL = 24
_LONGEST_NAME = 240  # bytes, of the 255 that file systems allow
POINTS = 8
"""Size of all labels."""

_INCHES = POINTS / 72 * 1.5  # of one line of labels, with air
_STYLE: dict[Any, Any] = {
    "font.size": POINTS, "axes.titlesize": POINTS + 2, "figure.titlesize": POINTS + 3, "axes.spines.top": False,
    "axes.spines.right": False, "svg.fonttype": "path", "svg.hashsalt": "sensorium", "image.cmap": "cividis",
}  # fmt: skip


def styled(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """`draw` in the style of this project; one figure at a time, since matplotlib's settings belong to the process."""

    @wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        import matplotlib as mpl

        with _settings, mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


_settings = threading.RLock()
_DATELESS: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The same figure is the same file."""


def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A `matplotlib.figure.Figure` of its own and its axes (rows, columns); nothing has to be closed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, squeeze=False)


@styled
def write(made: Any, folder: Path, name: str, kind: str) -> Path:
    """The figure as a file, its name made of letters, digits and dashes; one of that name is replaced.

    Raises:
        ConfigError: an unknown format.
    """
    if kind not in FORMATS:
        raise ConfigError(f"format is {kind!r}, expected one of {', '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(name)}.{kind}"
    made.savefig(path, dpi=150, metadata=_DATELESS.get(kind))
    return path


def slug(name: str) -> str:
    """A name for a file: letters and digits of any script, else dashes."""
    dashed = re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:80]
    return dashed.encode()[:_LONGEST_NAME].decode(errors="ignore") or "figure"


def numbers(values: Any, what: str) -> Floats:
    """A tensor or array -> float64 on the CPU.

    Raises:
        InputError: no numbers, rows of unequal length, NaN or infinity in it, or nothing at all.
    """
    try:
        array = values.detach().to("cpu").double().numpy() if isinstance(values, Tensor) else np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: {error}") from error
    if array.size == 0:
        raise InputError(f"{what}: there is nothing in {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{what}: NaN or infinity in it")
    return np.asarray(array, np.float64)


def entitle(made: Any, title: str) -> None:
    """A title over the whole figure, in as many lines as its width asks for."""
    letters = max(20, int(made.get_figwidth() * 11))
    made.suptitle("\n".join(textwrap.wrap(label(title, 4 * letters), letters)))


def label(text: str, longest: int = LONGEST_LABEL) -> str:
    """One line of that many characters that the font can draw: what it has no shape for becomes a box."""
    line = " ".join(str(text).split())
    if len(line) > longest:
        line = line[: longest - 1].rstrip() + "…"
    known = _characters()
    drawn = "".join(character if ord(character) in known else "□" for character in line)
    return drawn.replace("$", r"\$")  # else two of them would begin and end a formula


def ticks(axis: Any, labels: Sequence[str], inches: float) -> None:
    """Name the places 0, 1, ... of an axis `inches` long; where not all names have room, every second, fifth, tenth, ..."""
    room = max(1, int(inches / _INCHES))
    step = next(s for s in _steps() if math.ceil(len(labels) / s) <= room)
    axis.set_ticks(range(0, len(labels), step), [label(text) for text in labels[::step]])


def length(count: int, *, most: float = 12.0) -> float:
    """Inches in which `count` labels have room, at most `most`."""
    return min(max(1.6, count * _INCHES), most)


@cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())


def _steps() -> Any:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10
