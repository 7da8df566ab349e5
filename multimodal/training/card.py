"""What lies beside trained weights: the curve of the loss, and a model card that says what they are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from multimodal.training.judging import Verdict
from multimodal.training.training import Epoch

LEARNED, STOPPED = "#0072B2", "#D55E00"
"""Two colours that are told apart by everybody (Okabe and Ito, 2008)."""

Table: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By hidden modality, and ``all``: ``old`` and ``new``, the figures of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights come from.

    Attributes:
        data: a line each: what was learned from.
        replaced: what the new weights are measured against.
        models: fingerprint of the encoders; the weights mean nothing with others.
        command: that makes them again.
    """

    data: Sequence[str]
    replaced: str
    models: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What came of one.

    Attributes:
        strategy: of the fusion. moments: learned from, stopped by, judged by. settings: by name.
        verdict, figures: new against old, see `judging.compare` and `judging.table`.
        history: every epoch. known: the new weights are the old ones, to the bit.
    """

    strategy: str
    verdict: Verdict
    figures: Table
    history: Sequence[Epoch]
    moments: tuple[int, int, int]
    settings: Mapping[str, object]
    known: bool


def plot(history: Sequence[Epoch], folder: Path) -> list[Path]:
    """``loss.svg`` and ``loss.png`` over the epochs; the paths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context({"svg.hashsalt": "sensorium", "font.size": 10}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        learned = [epoch for epoch in history if not math.isnan(epoch.learned)]
        numbers, losses = [e.number for e in learned], [e.learned for e in learned]
        axes.plot(numbers, losses, color=LEARNED, label="time learned from, more hidden")
        axes.plot([e.number for e in history], [e.stopped for e in history], color=STOPPED, label="time held back")
        best = min(history, key=lambda epoch: epoch.stopped)
        axes.plot(best.number, best.stopped, "o", color=STOPPED, label=f"kept: epoch {best.number}")
        axes.set(xlabel="epoch", ylabel="loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False)
        paths = [folder / "loss.svg", folder / "loss.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
    return paths


def write_card(folder: Path, origin: Origin, lesson: Lesson) -> Path:
    """``README.md`` in `folder`; its path."""
    best = min(lesson.history, key=lambda epoch: epoch.stopped)
    learned, stopped, judged = lesson.moments
    verdict = lesson.verdict
    rows = [
        f"| {name} | {int(of['new']['questions'])} | {_pair(of, 'R@1', '.3f')} | {_pair(of, 'R@5', '.3f')} | "
        f"{_pair(of, 'median rank', '.0f')} | {of['new']['chance R@1']:.3f} |"
        for name, of in lesson.figures.items()
    ]
    lines = [
        f"# Weights for sensorium: fusion_method {lesson.strategy}",
        "",
        "The residual that is added to the training-free fusion of text, picture and sound. Learned without any label from",
        "recordings of one place: what was seen, heard and said at one moment belongs together; what is left of a moment",
        "when one modality is hidden has to find the hidden one. The vectors of the streams are not touched.",
        "",
        "## What it is worth",
        "",
        f"On the last part of each recording, from which nothing was learned, {verdict.reason}",
        f"({verdict.witnesses} stretches of time). Each row hides one modality and looks for it among that of all held-out",
        f"moments; before > after, before being {origin.replaced}.",
        "",
        "| hidden | questions | R@1 | R@5 | median rank | R@1 by chance |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "It was judged on the place it was learned in. Elsewhere it may be worth nothing: judge it there, by the same",
        "command.",
        "",
        "## Data",
        "",
        *(f"- {line}" for line in origin.data),
        f"- {learned} moments learned from, {stopped} to stop by, {judged} to judge by; in that order of time, with a gap",
        "  of one window between them.",
        "",
        "## How it was made",
        "",
        f"    {origin.command}",
        "",
        *(f"- {name}: {value}" for name, value in lesson.settings.items()),
        f"- kept: epoch {best.number} of {lesson.history[-1].number}",
        f"- encoders: {origin.models}",
        "",
        "![loss](loss.svg)",
        "",
        "## To use it",
        "",
        "In config.yaml:",
        "",
        f"    mind: {{fusion_method: {lesson.strategy}, weights: {folder}}}",
        "",
        "## Licence",
        "",
        "The weights were made from these recordings and belong to whoever may use those; recordings of people are personal",
        "data, and so may be what was learned from them. The encoders that they go with are Apache-2.0 (all-MiniLM-L6-v2,",
        "EfficientNet-Lite0, YAMNet).",
        "",
    ]
    path = folder / "README.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _pair(of: Mapping[str, Mapping[str, float]], name: str, form: str) -> str:
    return f"{of['old'][name]:{form}} > {of['new'][name]:{form}}"
