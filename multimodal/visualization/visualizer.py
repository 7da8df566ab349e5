"""All figures and pages, written into one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multimodal.errors import ConfigError
from multimodal.visualization import charts
from multimodal.visualization.canvas import FORMATS, slug, write
from multimodal.visualization.explorer import Moment, explorer
from multimodal.visualization.heatmap import heatmap
from multimodal.visualization.overlay import overlay
from multimodal.visualization.report import report
from multimodal.visualization.statistics import AttentionStatistics, attention_statistics, distribution


class Drawn(NamedTuple):
    """A `matplotlib.figure.Figure`, or a page as text, and the file it was written to."""

    figure: Any
    path: Path


class AttentionVisualizer:
    """Draws, and writes what it drew. Thread-safe: no figure is shared and nothing is shown on a display.

    A file is named by its title; one of that name is replaced.

    Args:
        output_dir: made where it is not there.
        format: "png", "svg" or "pdf" of the figures; the last two are vectors.

    Raises:
        ConfigError: an unknown format.
    """

    def __init__(self, output_dir: str | Path = "attention", *, format: str = "png") -> None:
        if format not in FORMATS:
            raise ConfigError(f"format is {format!r}, expected one of {', '.join(FORMATS)}")
        self.output_dir = Path(output_dir)
        self.format = format

    def create_attention_heatmap(
        self, attention_weights: Any, source_labels: Sequence[str] | None = None,
        target_labels: Sequence[str] | None = None, title: str = "Attention",
    ) -> Drawn:  # fmt: skip
        """Weights (Tq, Tk), or one panel a head for (H, Tq, Tk). InputError for other shapes or numbers of labels."""
        return self._write(heatmap(attention_weights, source_labels, target_labels, title), title)

    def create_attention_overlay(self, image: Any, attention: Any, title: str = "Attention on the picture") -> Drawn:
        """A map (rows, columns) over the picture it was paid to."""
        return self._write(overlay(image, attention, title), title)

    def create_contribution_chart(
        self, contributions: Mapping[str, float] | Sequence[Mapping[str, float]], labels: Sequence[str] | None = None,
        title: str = "Contributions",
    ) -> Drawn:  # fmt: skip
        """Shares by modality or stream, of one moment or of a sequence."""
        return self._write(charts.contributions(contributions, labels, title), title)

    def create_distribution_plot(self, attention_weights: Any, title: str = "How attention is spread") -> Drawn:
        """How large the weights are, and over how many keys a row is spread."""
        return self._write(distribution(attention_weights, title), title)

    def analyze(self, attention_weights: Any) -> AttentionStatistics:
        """Entropy, effective number of keys and the like, in numbers."""
        return attention_statistics(attention_weights)

    def create_explorer(self, moments: Sequence[Moment], title: str = "Moments") -> Drawn:
        """A page to walk through a sequence of windows; opens in any browser without a network."""
        return self._page(explorer(moments, title), title)

    def create_report(
        self, attention: Mapping[str, Any],
        contributions: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
        labels: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None, title: str = "Report",
    ) -> Drawn:  # fmt: skip
        """One page with every map, its distribution and its numbers."""
        return self._page(report(attention, contributions, labels, title), title)

    def _write(self, made: Any, title: str) -> Drawn:
        return Drawn(made, write(made, self.output_dir, title, self.format))

    def _page(self, text: str, title: str) -> Drawn:
        self.output_dir.mkdir(parents=True, exist_ok=True)
        path = self.output_dir / f"{slug(title)}.html"
        path.write_text(text, encoding="utf-8", errors="replace")  # of a broken emoji one half may have come
        return Drawn(text, path)
