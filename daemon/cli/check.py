"""`sensorium check`: is the configuration right, and would it run here?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli._exit import FAILURE, MISCONFIGURED, OK
from daemon.cli._options import config_options, json_option

if TYPE_CHECKING:
    from daemon.config import Config
    from daemon.registry import Registry


@click.command(
    epilog="""\b
Examples:
  sensorium check
  sensorium check --config /etc/sensorium/config.yaml --json
  sensorium check --set align.length=4s
  sensorium check --list

\b
Exit codes: 0 it would run, 1 something it needs is missing here,
78 the configuration is wrong (every mistake is listed)."""
)
@config_options
@click.option("--list", "listed", is_flag=True, help="Only list the sources and sinks there are, with their options.")
@json_option
def command(config_path: Path | None, sets: tuple[str, ...], listed: bool, as_json: bool) -> int:
    """Check the configuration and say what would run."""
    from daemon.cli import _catalogue, _show
    from daemon.config import ConfigError, load
    from daemon.registry import Registry

    registry = Registry.installed()
    if listed:
        _catalogue.show(registry, as_json=as_json)
        return OK
    try:
        config = load(config_path, sets=sets, registry=registry)
    except ConfigError as error:
        if not as_json:
            raise
        _show.as_json({"ok": False, "mistakes": [{"where": m.where, "what": m.what} for m in error.mistakes]})
        return MISCONFIGURED
    missing = _missing(config, registry)
    if as_json:
        _show.as_json({"ok": not missing, "mistakes": [], "missing": missing, "config": _plain(config)})
    else:
        _print(config, missing)
    return FAILURE if missing else OK


def _missing(config: Config, registry: Registry) -> list[dict[str, str]]:
    from importlib.util import find_spec

    from daemon.registry import needs

    found = [
        {"for": f"streams.{name}", "what": what}
        for name, stream in config.streams.items()
        for what in registry.find("source", stream.type).missing(stream.options)
    ]
    found += [
        {"for": f"sinks.{name}", "what": what}
        for name, sink in config.sinks.items()
        for what in registry.find("sink", sink.type).missing(sink.options)
    ]
    for name, stream in config.streams.items():
        what = None
        if stream.type == "camera" and (device := _device(stream.options.get("device", 0))) and not device.exists():
            what = f"{device} is not there; `sensorium doctor` lists the cameras"
        elif stream.type == "media" and stream.options.get("track") == "audio" and find_spec("av") is None:
            what = f"its sound {needs('av')}"
        if what is not None:
            found.append({"for": f"streams.{name}", "what": what})
    if config.mind.weights is not None:
        from daemon.mind import missing  # loads torch

        if (what := missing(config.mind)) is not None:
            found.append({"for": "mind.weights", "what": what})
    if {config.mind.text, config.mind.image, config.mind.audio} != {"embedded"}:
        from daemon.mind import missing_models

        found += [{"for": f"mind.{name}", "what": what} for name, what in missing_models(config.mind).items()]
    if not config.streams:
        found.append({"for": "streams", "what": "no stream is configured; `sensorium run` has nothing to watch"})
    return found


def _device(name: Any) -> Path | None:
    """The device file of a camera; an address of the network has none."""
    if isinstance(name, int) and Path("/dev").exists():
        return Path(f"/dev/video{name}")
    return Path(name) if str(name).startswith("/dev/") else None


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and paths as JSON has them."""
    from collections.abc import Mapping
    from dataclasses import fields, is_dataclass

    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(child) for name, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _print(config: Config, missing: list[dict[str, str]]) -> None:
    from rich.markup import escape

    from daemon.cli import _show
    from daemon.units import format_duration, format_size

    out = _show.console()
    mode = {"live": "live", "event_time": "by event time", None: "no streams"}[config.mode]
    out.print(f"[bold]{escape(config.group)}[/], {mode}\n")
    if config.streams:
        streams = _show.table("stream", "source", "options")
        for name, stream in config.streams.items():
            streams.add_row(name, stream.type, escape(_options(stream.options)))
        out.print(streams)
    align, store = config.align, config.store
    windows = f"{format_duration(align.length)}, a new one every {format_duration(align.hop)}"
    if config.mode == "live":
        windows += f"; at most {format_duration(align.deadline)} late" if align.deadline else "; no deadline"
    kept = [format_duration(store.retention.age)] if store.retention.age else []
    kept += [format_size(store.retention.bytes)] if store.retention.bytes else []
    out.print(
        _show.fields(
            [
                ("windows", windows),
                ("mind", _mind(config)),
                ("store", f"{store.path} (keeps {' or '.join(kept) or 'everything'})"),
                *((f"sink {name}", f"{sink.type} {_options(sink.options)}") for name, sink in config.sinks.items()),
                *([("recording", str(config.record.path))] if config.record.path else []),
            ]
        )
    )
    out.print()
    for item in missing:
        out.print(f"{_show.BAD} {escape(item['for'])}: {escape(item['what'])}")
    if not missing:
        out.print(f"{_show.OK} it would run")


def _mind(config: Config) -> str:
    mind = config.mind
    trained = "" if mind.weights is None else f" with {mind.weights}"
    others = [f"{kind} by {name}" for kind in ("text", "image", "audio") if (name := getattr(mind, kind)) != "embedded"]
    return ", ".join([f"{mind.fusion_method}{trained}", *others, f"on {mind.device}"])


def _options(options: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
