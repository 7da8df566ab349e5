"""Sources and sinks by name: entry points, opened when they are used.

A package adds one with a line in its pyproject.toml, and nothing here changes:

    [project.entry-points."sensorium.sources"]
    weather = "my_package.weather:Weather"

The class is built as ``Weather(stream, *, ...)`` (a source) or ``Weather(...)`` (a sink). Its constructor's keywords are
the options in config.yaml, their type hints the validation, its docstring the help. `clock` is given by the program and
is no option. A keyword hinted `int` also takes a duration ("500ms", as ns) or a size ("64MB", as bytes). A constructor
only checks and keeps what it is given - a source is made to check a configuration - and opens nothing before `events`.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from daemon.units import parse_duration, parse_size
from pipelines.errors import SensoriumError
from pipelines.protocols import Source

Kind = Literal["source", "sink"]

GROUPS: Mapping[Kind, str] = {"source": "sensorium.sources", "sink": "sensorium.sinks"}
GIVEN = frozenset({"stream", "clock"})
"""Keywords that the program fills in itself."""

_OURS = frozenset({"pipelines", "connectors", "multimodal", "daemon"})

EXTRAS: Mapping[str, str] = {"av": "media"}
"""Top-level module -> the extra of this package that brings it."""


class RegistryError(SensoriumError):
    """A source or sink that is not there, or that cannot be opened."""

    exit_code = 78


@dataclass(frozen=True)
class Option:
    """One keyword of a constructor."""

    name: str
    hint: Any
    required: bool
    default: object
    help: str = ""

    @property
    def expected(self) -> str:
        """The hint in words."""
        return _words(self.hint)


@dataclass(frozen=True)
class Component:
    """A source or sink that is installed; its module is not imported before `cls` is read."""

    kind: Kind
    name: str
    target: str

    @cached_property
    def cls(self) -> Any:
        """The class. Raises RegistryError that names the package to install where its library is missing."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in _OURS:
                raise RegistryError(f"{self.kind} {self.name!r} {needs(error.name or module)}") from error
            raise RegistryError(f"{self.kind} {self.name!r} cannot be opened ({self.target}): {error}") from error

    @property
    def help(self) -> str:
        """The class's docstring."""
        return inspect.getdoc(self.cls) or ""

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """Keywords that config.yaml may give, in the constructor's order."""
        helps = _option_helps(self.help)
        return {
            p.name: Option(p.name, _hint(self.cls, p), p.default is p.empty, p.default, helps.get(p.name, ""))
            for p in inspect.signature(self.cls).parameters.values()
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in GIVEN
        }

    def check(self, values: Mapping[str, object]) -> tuple[dict[str, object], list[tuple[str | None, str]]]:
        """The values as the constructor wants them, and what is wrong: (option, None for one that is missing; sentence)."""
        good: dict[str, object] = {}
        wrong: list[tuple[str | None, str]] = []
        for name, value in values.items():
            option = self.options.get(name)
            if option is None:
                wrong.append((name, f"{self.kind} {self.name!r} has no such option{nearest(name, self.options)}"))
                continue
            try:
                good[name] = _fit(value, option.hint)
            except ValueError as error:
                wrong.append((name, str(error)))
        wrong += [
            (None, f"{self.kind} {self.name!r} needs the option {option.name} ({option.expected})")
            for option in self.options.values()
            if option.required and option.name not in values
        ]
        return good, wrong

    def missing(self, options: Mapping[str, object]) -> list[str]:
        """What these options would need and this machine has not: libraries the class names in `requires`, files to read."""
        found = [needs(module) for module in getattr(self.cls, "requires", ()) if find_spec(module) is None]
        if self.kind == "source":
            found += [
                f"{value} is not there"
                for name, value in options.items()
                if isinstance(value, (Path, str)) and Path in _admits(self.options[name].hint) and not _there(Path(value))
            ]
        return found

    def create(self, *positional: object, options: Mapping[str, object], **given: object) -> Any:
        """Build one; of `given` it gets what its constructor knows. Raises what the constructor raises."""
        known = inspect.signature(self.cls).parameters
        return self.cls(*positional, **options, **{name: value for name, value in given.items() if name in known})


class Registry:
    """What is installed, by kind and name."""

    def __init__(self, components: Iterable[Component]) -> None:
        self._by: dict[Kind, dict[str, Component]] = {"source": {}, "sink": {}}
        for component in components:
            self._by[component.kind][component.name] = component

    @classmethod
    def installed(cls) -> Registry:
        """From the entry points of every installed package."""
        from importlib.metadata import entry_points

        return cls(
            Component(kind, entry.name, entry.value)
            for kind, group in GROUPS.items()
            for entry in entry_points(group=group)
        )

    def names(self, kind: Kind) -> list[str]:
        """Sorted."""
        return sorted(self._by[kind])

    def find(self, kind: Kind, name: str) -> Component:
        """Raises RegistryError that names the nearest, or all there are."""
        try:
            return self._by[kind][name]
        except KeyError:
            pass
        there = self.names(kind)
        near = nearest(name, there) or f"; there is: {', '.join(there) or 'none (is sensorium installed?)'}"
        raise RegistryError(f"no such {kind} {name!r}{near}")

    def spec(self, kind: Kind, text: str) -> tuple[str, dict[str, object]]:
        """`jsonl:FILE` -> ("jsonl", {"path": "FILE"}): what is behind the colon goes to the first option."""
        name, _, value = text.partition(":")
        component = self.find(kind, name)
        if not value:
            return name, {}
        if not component.options:
            raise RegistryError(f"{kind} {name!r} takes no option, got {value!r}")
        return name, {next(iter(component.options)): value}


def _there(path: Path) -> bool:
    return path == Path("-") or path.exists()


def is_live(source: Source) -> bool:
    """Whether its channel may drop what is too much (a device), or everything waits for us (a file, a broker)."""
    return source.overflow != "block"


def nearest(name: str, there: Iterable[str]) -> str:
    """`; did you mean 'x'?` or nothing."""
    near = get_close_matches(name, list(there), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def needs(module: str) -> str:
    """`needs the package 'av': pip install 'sensorium[media]'`."""
    top = module.partition(".")[0]
    extra = EXTRAS.get(top)
    return f"needs the package {top!r}: pip install " + (f"'sensorium[{extra}]'" if extra else top)


_BOUNDS = ("greater", "less", "multiple", "finite", "string_", "too_", "value_error")


def _option_helps(doc: str) -> dict[str, str]:
    """What the docstring's section `Options:` (or `Args:`) says of each name."""
    section = re.search(r"^(?:Options|Args):\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    found = re.findall(r"^ {4}(\w+(?:, \w+)*): (.+(?:\n {5,}.+)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in found for name in names.split(", ")}


def _hint(cls: type, parameter: inspect.Parameter) -> Any:
    """A parameter's type; Any where its name exists for the type checker only."""
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = typing.get_type_hints(holder, vars(sys.modules[cls.__module__]), include_extras=True)
    except NameError:
        return Any
    return Any if parameter.annotation is parameter.empty else hints[parameter.name]


def _fit(value: object, hint: Any) -> object:
    """One value to one hint. Raises ValueError that says what was expected."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    base = _admits(hint)
    if int in base and str not in base and isinstance(value, str):
        for parse in (parse_duration, parse_size):
            try:
                return parse(value)
            except ValueError:
                continue
    if str in base and isinstance(value, (int, float)) and not isinstance(value, bool) and not base & {int, float}:
        value = str(value)  # YAML reads `name: 12` as a number; the words were meant
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint)
    except PydanticUserError:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"] if first["type"].startswith(_BOUNDS) else ""  # the type itself is said in our words
        raise ValueError(f"expected {_words(hint)}, got {value!r}" + (f" ({reason})" if reason else "")) from None


def _admits(hint: Any) -> set[Any]:
    """The plain types a hint lets in."""
    if typing.get_origin(hint) is typing.Annotated:
        return _admits(typing.get_args(hint)[0])
    parts = typing.get_args(hint)
    if parts and typing.get_origin(hint) is not typing.Literal:
        return set().union(*map(_admits, parts))
    return {hint}


def _words(hint: Any) -> str:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _words(parts[0])
    if origin is typing.Literal:
        return " or ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in parts if part is not type(None))
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if hint in simple:
        return simple[hint]
    return "a path" if getattr(hint, "__name__", "") == "Path" else getattr(hint, "__name__", str(hint))
