"""What may stand behind `type:` in config.yaml: every installed source and sink, its help and its options."""

from __future__ import annotations

from typing import Any

from daemon.cli import _show
from daemon.registry import GROUPS, Component, Option, Registry, RegistryError
from daemon.units import format_duration


def show(registry: Registry, *, as_json: bool) -> None:
    """One that cannot be opened says why in its place; the others are shown all the same."""
    described = [describe(registry.find(kind, name)) for kind in GROUPS for name in registry.names(kind)]
    if as_json:
        _show.as_json({"components": described})
        return
    from rich.markup import escape
    from rich.padding import Padding

    out = _show.console()
    for item in described:
        out.print(f"[bold]{item['kind']} {escape(item['name'])}[/]  {escape(item['help'].partition(chr(10))[0])}")
        if item["problem"]:
            out.print(f"  {_show.WARNING} {escape(item['problem'])}")
        rows = [
            (option["name"], f"{option['expected']}{_default(option)}", option["help"]) for option in item["options"]
        ]
        out.print(Padding(_show.fields(rows), (0, 0, 1, 4)))


def describe(component: Component) -> dict[str, Any]:
    """As JSON shows it."""
    item: dict[str, Any] = {"kind": component.kind, "name": component.name, "help": "", "options": [], "problem": None}
    try:
        item["help"] = component.help
        item["options"] = [_option(option) for option in component.options.values()]
    except RegistryError as error:
        item["problem"] = str(error)
    return item


def _option(option: Option) -> dict[str, Any]:
    default = option.default if isinstance(option.default, (bool, int, float, str)) else None
    return {
        "name": option.name,
        "expected": option.expected,
        "required": option.required,
        "default": None if option.required else default,
        "help": option.help,
    }


def _default(option: dict[str, Any]) -> str:
    if option["required"]:
        return ", required"
    default = option["default"]
    if isinstance(default, int) and default >= 1000 and "nanoseconds" in option["help"]:
        default = format_duration(default)
    return "" if default in (None, "") else f", default {default}"
