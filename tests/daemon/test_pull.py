"""133 MB come once; without a word meanwhile people press Ctrl-C, and with a bar in a log file nobody reads the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO

from rich.console import Console

from daemon.cli import _pull
from multimodal.embeddings.models import Progress

STEPS = (
    Progress("minilm", "download", 0, 80_000_000),
    Progress("minilm", "download", 40_000_000, 80_000_000),
    Progress("minilm", "download", 80_000_000, 80_000_000),
    Progress("minilm", "convert", 0, 1),
    Progress("minilm", "convert", 1, 1),
    Progress("minilm", "ready", 1, 1),
    Progress("yamnet", "ready", 1, 1),
)


def fetch(progress: Callable[[Progress], None], names: Sequence[str] | None = None) -> None:
    """A registry that answers with STEPS."""
    for step in STEPS:
        progress(step)


def test_without_a_terminal_each_step_is_one_line() -> None:
    out = StringIO()
    _pull.pull(Console(file=out, width=80), fetch=fetch)
    assert out.getvalue().splitlines() == [
        "minilm: fetching 80 MB", "minilm: converting", "minilm: ready", "yamnet: ready",
    ]  # fmt: skip


def test_in_a_terminal_each_model_has_a_bar_that_ends_full() -> None:
    out = StringIO()
    _pull.pull(Console(file=out, width=100, force_terminal=True, color_system=None), fetch=fetch)
    last = out.getvalue()[-600:]
    assert "80.0/80.0 MB" in last and last.count("ready") >= 2
