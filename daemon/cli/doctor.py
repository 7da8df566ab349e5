"""`sensorium doctor`: what is here, what is not, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli._exit import FAILURE, OK
from daemon.cli._options import config_options, json_option

if TYPE_CHECKING:
    from daemon.doctor import Finding


@click.command(
    epilog="""\b
Examples:
  sensorium doctor
  sensorium doctor --cuda
  sensorium doctor --json

\b
Exit codes: 0 nothing required is broken, 1 something is.
A missing camera, sound card, model or extra is no failure."""
)
@config_options
@click.option("--cuda", is_flag=True, help="Look for GPUs too; loads torch, which takes seconds.")
@json_option
def command(config_path: Path | None, sets: tuple[str, ...], cuda: bool, as_json: bool) -> int:
    """Say what is installed, which devices and which models there are."""
    from dataclasses import asdict

    from daemon.cli import _show

    findings = _examine(config_path, sets, cuda)
    broken = any(finding.state == "broken" for finding in findings)
    if as_json:
        _show.as_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    return FAILURE if broken else OK


def _examine(config_path: Path | None, sets: tuple[str, ...], cuda: bool) -> list[Finding]:
    from daemon import doctor
    from daemon.config import Config, ConfigError, load

    try:
        config = load(config_path, sets=sets)
        configured = []
    except ConfigError as error:
        config = Config()
        detail = f"{len(error.mistakes)} mistake{'s' if len(error.mistakes) > 1 else ''}"
        configured = [doctor.Finding("program", "configuration", "broken", detail, "sensorium check lists them")]
    return [
        *doctor.python(),
        *doctor.packages(),
        *configured,
        *doctor.models(),
        *doctor.cameras(),
        *doctor.sound_cards(),
        *(doctor.cuda() if cuda else []),
        *doctor.disk([("store", config.store.path)]),
        *doctor.store(config.store.path),
    ]


def _print(findings: list[Finding]) -> None:
    from rich.markup import escape

    from daemon.cli import _show

    out = _show.console()
    marks = {"ok": _show.OK, "missing": _show.WARNING, "broken": _show.BAD}
    packages = [finding for finding in findings if finding.area == "package"]
    well = [finding for finding in packages if finding.state == "ok"]
    shown = [finding for finding in findings if finding not in well]
    area = None
    for finding in shown:
        if finding.area != area:
            area = finding.area
            out.print(f"[bold]{area}[/]")
            if area == "program" and well:
                out.print(f"  {_show.OK} {len(well)} of {len(packages)} required packages")
        out.print(f"  {marks[finding.state]} {escape(finding.name)}: {escape(finding.detail)}")
        if finding.todo:
            out.print(f"      [dim]{escape(finding.todo)}[/]")
