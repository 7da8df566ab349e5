"""The tree of located values to the frozen dataclasses of `daemon.config`; what is wrong is noted, nothing raised."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping, Set
from dataclasses import MISSING, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from daemon.config.layers import Located
from daemon.config.tree import Align, Config, Mistake, Mode, Sink, Stream
from daemon.registry import Component, Kind, Registry, RegistryError, is_live
from daemon.units import Positive, format_duration, parse_duration, parse_size
from pipelines.errors import SensoriumError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def build(tree: Located, registry: Registry, mistakes: list[Mistake]) -> Config:
    """The configuration; where there are mistakes, what comes back is of no use."""
    builder = _Builder(registry, mistakes)
    config: Config = builder.section(Config, tree, "")
    return replace(config, mode=builder.mode(config.mode))


class _Builder:
    def __init__(self, registry: Registry, mistakes: list[Mistake]) -> None:
        self._registry = registry
        self._mistakes = mistakes
        self._sources: dict[str, tuple[str, bool, str]] = {}  # key -> its type, whether it is live, where it stands

    def wrong(self, where: str, what: str) -> None:
        self._mistakes.append(Mistake(where, what))

    def section(self, cls: Any, at: Located, key: str) -> Any:
        """One dataclass; unknown keys are mistakes, except that those of a stream or sink are its options."""
        names = {field.name: field for field in fields(cls)}
        if at.value is None:
            at = Located({}, at.where)  # `sinks:` with nothing behind it
        if not isinstance(at.value, dict):
            self.wrong(at.where, f"{key}: expected keys ({', '.join(names)}), got {at.plain()!r}")
            at = Located({}, at.where)
        hints = typing.get_type_hints(cls, include_extras=True)
        plugin: Kind | None = {Stream: "source", Sink: "sink"}.get(cls)  # type: ignore[assignment]
        own = set(names) - {"options"} if plugin else set(names)
        values: dict[str, Any] = {}
        for name, child in at.value.items():
            if name in own:
                values[name] = self.value(hints[name], child, _dotted(key, name))
            elif plugin is None:
                near = get_close_matches(name, own, n=1)
                known = f"did you mean {_dotted(key, near[0])}?" if near else f"there is: {', '.join(names)}"
                self.wrong(child.where, f"{_dotted(key, name)}: no such key; {known}")
        if plugin is not None:
            rest = {name: child for name, child in at.value.items() if name not in own}
            values["options"] = self.options(plugin, at, rest, key, own)
        for name, field in names.items():
            if name not in values and field.default is MISSING and field.default_factory is MISSING:
                if plugin is None:
                    self.wrong(at.where, f"{key}: needs {name}")
                values[name] = None
        made = cls(**values)
        if cls is Align:
            self.align(made, at, key)
        return made

    def align(self, made: Align, at: Located, key: str) -> None:
        """What its numbers cannot be together."""
        if made.length is None or made.hop is None:
            return  # told already
        given = {name: child.where for name, child in at.value.items()} if isinstance(at.value, dict) else {}
        where = given.get("hop") or given.get("length") or at.where
        if made.length > parse_duration("1d"):
            self.wrong(where, f"{key}.length: {format_duration(made.length)} is too long for a moment; a day is the most")
        elif made.hop > made.length:
            hop, length = format_duration(made.hop), format_duration(made.length)
            self.wrong(where, f"{key}.hop: {hop} is longer than {key}.length, {length}: what lies between is in no window")

    def options(self, kind: Kind, at: Located, rest: Mapping[str, Located], key: str, own: Set[str]) -> dict[str, Any]:
        """The keywords of a source or sink, checked by its constructor's hints."""
        typed = at.value.get("type") if isinstance(at.value, dict) else None
        if typed is None or not isinstance(typed.value, str):
            there = ", ".join(self._registry.names(kind)) or "none"
            self.wrong(at.where, f"{key}: needs type, which {kind} it is; there is: {there}")
            return {}
        component = self.find(kind, typed, key)
        if component is None:
            return {}
        good, problems = component.check({name: child.plain() for name, child in rest.items()})
        for name, sentence in problems:
            if name is None:
                self.wrong(at.where, f"{key}: {sentence}")
                continue
            near = get_close_matches(name, own, n=1) if name not in component.options else []
            hint = f"; did you mean {_dotted(key, near[0])}?" if near and "did you mean" not in sentence else ""
            self.wrong(rest[name].where, f"{_dotted(key, name)}: {sentence}{hint}")
        if kind == "source" and not problems:
            self.try_source(component, key, good, at.where)
        return good

    def try_source(self, component: Component, key: str, options: Mapping[str, object], where: str) -> None:
        """Make one, which opens nothing: what its constructor refuses is a mistake, what it is decides the mode."""
        from pipelines.clock import BootClock

        try:
            source = component.create(key.partition(".")[2], options=options, clock=BootClock())
        except (SensoriumError, ValueError) as error:
            self.wrong(where, f"{key}: {str(error).removeprefix(key.partition('.')[2] + ': ')}")
            return
        self._sources[key] = component.name, is_live(source), where

    def find(self, kind: Kind, typed: Located, key: str) -> Component | None:
        """The component, its class opened; None and a mistake where that fails."""
        try:
            component = self._registry.find(kind, typed.value)
            component.cls  # noqa: B018 - a missing library shows here
        except RegistryError as error:
            self.wrong(typed.where, f"{_dotted(key, 'type')}: {error}")
            return None
        return component

    def value(self, hint: Any, at: Located, key: str) -> Any:
        """One value to a dataclass's hint."""
        hint, marks = _bare(hint)
        parts = typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in parts:
            if at.value is None:
                return None
            (inner,) = (part for part in parts if part is not type(None))
            return self.value(inner, at, key)
        if is_dataclass(hint):
            return self.section(hint, at, key)
        if isinstance(typing.get_origin(hint), type) and issubclass(typing.get_origin(hint) or object, Mapping):
            return self.named(parts[1], at, key)
        try:
            return _scalar(hint, marks, at.plain())
        except ValueError as error:
            self.wrong(at.where, f"{key}: {error}")
            return None

    def named(self, cls: Any, at: Located, key: str) -> dict[str, Any]:
        """`streams:` and `sinks:`, sections under names of the user's."""
        if at.value is None:
            return {}
        if not isinstance(at.value, dict):
            self.wrong(at.where, f"{key}: expected names with their settings, got {at.plain()!r}")
            return {}
        for name, child in at.value.items():
            if not _NAME.fullmatch(name):
                self.wrong(child.where, f"{key}: {name!r} is no name; letters, digits and . _ - make one")
        return {name: self.section(cls, child, _dotted(key, name)) for name, child in at.value.items()}

    def mode(self, given: Mode | None) -> Mode | None:
        """The group's mode; devices and files in one group are a mistake, named for each source that does not fit."""
        live = [key for key, (_, alive, _) in self._sources.items() if alive]
        filed = [key for key in self._sources if key not in live]
        if given is None and live and filed:
            for key in filed:
                name, _, where = self._sources[key]
                self.wrong(
                    where,
                    f"{key}: goes by event time ({name} waits for us), but {', '.join(live)} is live;"
                    " a group is one or the other, run two",
                )
        elif given is not None:
            kind = "goes by event time" if given == "live" else "is live"
            for key in filed if given == "live" else live:
                self.wrong(self._sources[key][2], f"{key}: {kind}, but the group's mode is {given}")
        return given or ("event_time" if filed else "live" if live else None)


def _bare(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is typing.Annotated:
        return typing.get_args(hint)[0], hint.__metadata__
    return hint, ()


def _scalar(hint: Any, marks: tuple[Any, ...], value: Any) -> Any:
    if typing.get_origin(hint) is typing.Literal:
        allowed = typing.get_args(hint)
        if value in allowed:
            return value
        near = get_close_matches(str(value), allowed, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"expected {' or '.join(allowed)}, got {value!r}{hint}")
    parse = next((_MARKED[mark] for mark in marks if mark in _MARKED), None) or _PLAIN[hint]
    result = parse(value)
    if Positive in marks and result < 1:
        raise ValueError(f"expected more than 0, got {value!r}")
    return result


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected a whole number, got {value!r}")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"expected true or false, got {value!r}")


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise ValueError(f"expected text, got {value!r}")


def _path(value: Any) -> Path:
    if isinstance(value, Path) or (isinstance(value, str) and value.strip()):
        return Path(value).expanduser()
    raise ValueError(f"expected a path, got {value!r}")


_MARKED: Mapping[str, Callable[[Any], Any]] = {"duration": parse_duration, "size": parse_size}
_PLAIN: Mapping[Any, Callable[[Any], Any]] = {int: _whole, bool: _flag, str: _text, Path: _path}


def _dotted(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
