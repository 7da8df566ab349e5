"""Options that several commands share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(function: Command) -> Command:
    """`--config FILE` and `--set KEY=VALUE`, as parameters `config_path` and `sets` for `daemon.config.load`."""
    function = click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Set one key, such as align.length=4s. May be repeated."
    )(function)
    return click.option(
        "--config", "-c", "config_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Configuration; without it $SENSORIUM_CONFIG, else ./config.yaml where there is one.",
    )(function)  # fmt: skip


json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else; logs go to stderr.")
"""`--json`, as parameter `as_json`."""

store_option = click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The store (default: as configured)."
)
"""`--store DIR`, as parameter `store`."""


def read_by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that gives an option's text to `parse`; its ValueError becomes a usage error."""

    def callback(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback
