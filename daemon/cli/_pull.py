"""Models for any command that needs them: fetched where they are missing, with progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli import _show
from daemon.units import format_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from multimodal.embeddings.models import Progress

Fetch: TypeAlias = "Callable[[Callable[[Progress], None], Sequence[str] | None], object]"

WORDS = {"download": "fetching", "convert": "converting", "ready": "ready"}


def ensure_models(names: Sequence[str] | None = None) -> None:
    """Return once the models (None: all) are ready; says nothing where they are already.

    Raises what `multimodal.embeddings.fetch.pull` raises: its message says what to do.
    """
    from multimodal.embeddings.models import status

    missing = [row for row in status() if not row.ready and (names is None or row.model.name in names)]
    if not missing:
        return
    out = _show.console(err=True)
    size = format_size(sum(row.model.size for row in missing))
    out.print(f"The models are fetched once, {size}: {', '.join(row.model.name for row in missing)}")
    pull(out, [row.model.name for row in missing])


def pull(out: Console, names: Sequence[str] | None = None, fetch: Fetch | None = None) -> None:
    """Fetch and convert: a bar a model in a terminal, a line a step elsewhere. `fetch` is the library's unless given."""
    from multimodal.embeddings import fetch as library

    fetch = library.pull if fetch is None else fetch
    if not out.is_terminal:
        fetch(_lines(out), names)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.fields[model]:<18}{task.description:<11}"), BarColumn(28), DownloadColumn(),
        TransferSpeedColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=out) as bars:
        fetch(_bars(bars), names)


def _lines(out: Console) -> Callable[[Progress], None]:
    last: dict[str, str] = {}

    def report(step: Progress) -> None:
        if last.get(step.model) != step.step:
            last[step.model] = step.step
            size = f" {format_size(step.total)}" if step.step == "download" else ""
            out.print(f"{step.model}: {WORDS[step.step]}{size}", soft_wrap=True)

    return report


def _bars(bars: Bars) -> Callable[[Progress], None]:
    tasks: dict[str, TaskID] = {}

    def report(step: Progress) -> None:
        if step.model not in tasks:
            tasks[step.model] = bars.add_task("", total=None, model=step.model)
        if step.step == "download":
            bars.update(tasks[step.model], description=WORDS[step.step], completed=step.done, total=step.total)
        elif step.step == "convert":
            bars.update(tasks[step.model], description=WORDS[step.step])
        else:
            total = bars.tasks[tasks[step.model]].total or 1
            bars.update(tasks[step.model], description=WORDS[step.step], total=total, completed=total)

    return report
