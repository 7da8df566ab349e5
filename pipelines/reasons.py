"""What is shown of the moments that were found: only of these anything is read from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.hits import Hit, Reason
from pipelines.runs import Run
from pipelines.store.catalogue import Catalogue
from pipelines.store.reader import Found, Reader

CONTEXT = 160  # characters of a text that was found by its meaning
SHOWN_LABELS = 3
LEAST_SHOWN = 0.01  # a label less probable than this is no reason


class Source(NamedTuple):
    """What matches were found by: the class names nearest to the question, or an expression over words."""

    asked: frozenset[str]
    expression: str | None = None


def shown(runs: Sequence[Run], sources: Sequence[Source], catalogue: Catalogue, reader: Reader) -> list[Hit]:
    """The runs as hits. A view that was deleted meanwhile gives no reason, a run without any reason is left out."""
    keys = [catalogue.key.values[run.matches.rows].tolist() for run in runs]
    views = reader.views([key for of_run in keys for key in of_run])
    contexts = _contexts(runs, keys, sources, reader)
    hits = []
    for run, of_run in zip(runs, keys, strict=True):
        reasons = []
        columns = (run.matches.confidences.tolist(), run.matches.scores.tolist(), run.matches.source.tolist())
        for key, confidence, score, number in zip(of_run, *columns, strict=True):
            if key in views:
                context = contexts.get((key, sources[number].expression))
                reasons.append(_reason(views[key], confidence, score, sources[number].asked, context))
        if reasons:
            ids = tuple(catalogue.ids[moment] for moment in run.moments.tolist())
            streams = tuple(sorted(reason.stream for reason in reasons))
            hits.append(Hit(run.start, run.end, streams, run.confidence, tuple(reasons), ids, catalogue.ids[run.best]))
    return hits


def _contexts(
    runs: Sequence[Run], keys: Sequence[Sequence[int]], sources: Sequence[Source], reader: Reader
) -> dict[tuple[int, str | None], str]:
    """By view and expression."""
    by_expression: dict[str, list[int]] = {}
    for run, of_run in zip(runs, keys, strict=True):
        for key, number in zip(of_run, run.matches.source.tolist(), strict=True):
            expression = sources[number].expression
            if expression is not None:
                by_expression.setdefault(expression, []).append(key)
    return {
        (key, expression): context
        for expression, some in by_expression.items()
        for key, context in reader.contexts(expression, some).items()
    }


def _reason(found: Found, confidence: float, score: float, asked: frozenset[str], context: str | None) -> Reason:
    """With the words that decided, else with those of the labels that were asked for, else with the likeliest ones."""
    words = _marked(context) if context else _shortened(found.text)
    likely = tuple(label for label in found.labels if label[1] >= LEAST_SHOWN)
    labels = tuple(label for label in likely if label[0] in asked) or likely
    return Reason(
        found.stream, found.modality, confidence, score, () if words else labels[:SHOWN_LABELS], words, found.media
    )


def _shortened(text: str | None) -> str | None:
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= CONTEXT else line[: CONTEXT - 1].rstrip() + "…"


def _marked(context: str) -> str:
    """The matching words between square brackets."""
    return " ".join(context.split()).replace("\x02", "[").replace("\x03", "]")
