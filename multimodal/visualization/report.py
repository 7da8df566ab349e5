"""One page with every figure of a set of attention maps and contributions: to send, to print, to keep."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from multimodal.visualization.canvas import styled
from multimodal.visualization.charts import contributions
from multimodal.visualization.heatmap import heatmap
from multimodal.visualization.statistics import attention_statistics, distribution

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; }}
body {{ max-width: 900px; margin: 24px auto; padding: 0 16px; }}
h1 {{ font-size: 21px; }} h2 {{ font-size: 16px; margin-top: 32px; }}
svg {{ max-width: 100%; height: auto; }}
table {{ border-collapse: collapse; }} td {{ padding: 2px 16px 2px 0; border-bottom: 1px solid #ddd; }}
td:last-child {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def report(
    attention: Mapping[str, Any],
    shares: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    labels: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
    title: str = "Attention",
) -> str:
    """The page: for each map its heat map, its distribution and its numbers; the contributions before them.

    Args:
        attention: by name, each as `heatmap` takes it.
        shares: as `charts.contributions` takes them.
        labels: by the name of a map, those of its rows and of its columns.

    Raises:
        InputError: as the figures do.
    """
    parts = []
    if shares:
        parts += ["<h2>Contributions</h2>", _svg(contributions(shares))]
    for name, weights in attention.items():
        sources, targets = (labels or {}).get(name, (None, None))
        rows = "".join(
            f"<tr><td>{html.escape(what)}</td><td>{value:.3f}</td></tr>"
            for what, value in attention_statistics(weights).summary().items()
        )
        parts += [
            f"<h2>{html.escape(name)}</h2>", _svg(heatmap(weights, sources, targets, name)), _svg(distribution(weights)),
            f"<table>{rows}</table>",
        ]  # fmt: skip
    return _PAGE.format(title=html.escape(" ".join(title.split())), body="\n".join(parts))


@styled
def _svg(made: Any) -> str:
    text = io.StringIO()
    made.savefig(text, format="svg", metadata={"Date": None})
    drawing = text.getvalue()
    return drawing[drawing.index("<svg") :]
