"""The layers of the configuration as one tree whose every value knows where it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from daemon.config.tree import Config, Mistake

RESERVED = frozenset({"CONFIG", "DEBUG", "MODELS", "SOAK"})
"""Variables `SENSORIUM_<name>` that are no configuration keys."""

_PREFIX = "SENSORIUM_"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_INTEGER = "tag:yaml.org,2002:int"


@dataclass(slots=True)
class Located:
    """A value and its place. `value` is a scalar, a list of Located, or a dict of Located by key."""

    value: Any
    where: str

    def plain(self) -> Any:
        """The same without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


def gather(
    path: Path | None,
    flags: Mapping[str, object],
    sets: Sequence[str],
    environ: Mapping[str, str],
    mistakes: list[Mistake],
) -> Located:
    """File, then environment, flags and sets over it; what cannot be read becomes a mistake."""
    tree = Located({}, "defaults")
    if path is None:
        given = environ.get(f"{_PREFIX}CONFIG")
        path = Path(given) if given else Path("config.yaml")
        if not given and not path.exists():
            path = None
    if path is not None:
        tree = _read(path, mistakes)
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in RESERVED:
            _put_variable(tree, name, environ[name], mistakes)
    _merge(tree, _located(flags, "command line"))
    for text in sets:
        _put_set(tree, text, mistakes)
    return tree


def _read(path: Path, mistakes: list[Mistake]) -> Located:
    empty = Located({}, str(path))
    try:
        text = path.read_bytes().decode("utf-8")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            tree = _Reader(loader, path, mistakes).read(node) if node is not None else empty
        finally:
            loader.dispose()
    except OSError as error:
        mistakes.append(Mistake(str(path), f"cannot be read: {error.strerror or error}"))
        return empty
    except UnicodeDecodeError as error:
        mistakes.append(Mistake(str(path), f"is not UTF-8 (byte {error.start})"))
        return empty
    except RecursionError:
        mistakes.append(Mistake(str(path), "is nested too deeply"))
        return empty
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        mistakes.append(Mistake(where, f"is not YAML: {problem}"))
        return empty
    if not isinstance(tree.value, dict):
        mistakes.append(Mistake(tree.where, "expected keys such as `streams:`, found a single value or a list"))
        return empty
    return tree


class _Reader:
    """YAML nodes to Located; a key given twice is a mistake, an alias into itself too."""

    def __init__(self, loader: yaml.SafeLoader, path: Path, mistakes: list[Mistake]) -> None:
        self._loader = loader
        self._path = path
        self._mistakes = mistakes
        self._open: set[int] = set()

    def read(self, node: yaml.Node) -> Located:
        where = f"{self._path}:{node.start_mark.line + 1}"
        if id(node) in self._open:
            self._mistakes.append(Mistake(where, "an alias refers to what it is inside of"))
            return Located(None, where)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return Located(self._mapping(node), where)
            if isinstance(node, yaml.SequenceNode):
                return Located([self.read(child) for child in node.value], where)
            return Located(self._scalar(node), where)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag == _TIMESTAMP or (node.tag == _INTEGER and ":" in node.value):
            return node.value  # an instant and 12:30:45 stay as written, the source reads them
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            self._mistakes.append(Mistake(f"{self._path}:{node.start_mark.line + 1}", f"{node.value!r}: {error}"))
            return None

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Located]:
        written = {id(key) for key, _ in node.value}
        self._loader.flatten_mapping(node)  # `<<: *base`; what stands here itself comes behind it and wins
        seen: dict[str, int] = {}
        children: dict[str, Located] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(self._scalar(key_node)) if isinstance(key_node, yaml.ScalarNode) else ""
            if not key:
                self._mistakes.append(Mistake(f"{self._path}:{line}", "a key must be a name"))
                continue
            if id(key_node) in written:
                if key in seen:
                    self._mistakes.append(Mistake(f"{self._path}:{line}", f"{key}: given before, on line {seen[key]}"))
                seen[key] = line
            child = self.read(value_node)
            children[key] = Located(child.value, f"{self._path}:{line}")
        return children


def _put_variable(tree: Located, name: str, text: str, mistakes: list[Mistake]) -> None:
    parts = name.removeprefix(_PREFIX).split("__")
    where = f"environment {name}"
    sections = [field.name for field in fields(Config)]
    if parts[0].lower() not in sections:
        near = get_close_matches(parts[0].lower(), sections, n=1)
        if len(parts) > 1 or near:  # a lone SENSORIUM_X may belong to somebody else
            hint = f"; did you mean {_PREFIX}{'__'.join([near[0].upper(), *parts[1:]])}?" if near else ""
            mistakes.append(Mistake(where, f"no such key{hint}"))
        return
    at = tree
    for part in parts[:-1]:
        at = _child(at, _known(at.value, part), where)
    key = _known(at.value, parts[-1])
    _merge(at, Located({key: _located(_scalar(text), where)}, where))


def _put_set(tree: Located, text: str, mistakes: list[Mistake]) -> None:
    key, equals, value = text.partition("=")
    where = f"--set {text}"
    if not equals or not key.strip():
        mistakes.append(Mistake(where, "expected KEY=VALUE, such as align.length=4s"))
        return
    at, rest = tree, key.strip()
    while True:
        # A stream's name may hold dots: the longest key that is there already wins.
        there = [name for name in at.value if rest == name or rest.startswith(f"{name}.")]
        part = max(there, key=len) if there else rest.partition(".")[0]
        rest = rest[len(part) + 1 :]
        if not rest:
            break
        at = _child(at, part, where)
    _merge(at, Located({part: _located(_scalar(value), where)}, where))


def _scalar(text: str) -> object:
    """As YAML reads it; what is no YAML is text, and so is an instant."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    return text if isinstance(value, date) or (isinstance(value, int) and ":" in text) else value


def _child(at: Located, key: str, where: str) -> Located:
    child: Located | None = at.value.get(key)
    if child is None or not isinstance(child.value, dict):
        child = at.value[key] = Located({}, where)
    return child


def _known(children: Mapping[str, Located], part: str) -> str:
    """The key already there that the variable means, `camera.front` for CAMERA_FRONT; else the part in lower case."""
    plain = _plain(part)
    return next((key for key in children if _plain(key) == plain), part.lower())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _located(value: object, where: str) -> Located:
    if isinstance(value, Mapping):
        return Located({str(key): _located(child, where) for key, child in value.items() if child is not None}, where)
    if isinstance(value, (list, tuple)):
        return Located([_located(child, where) for child in value], where)
    return Located(value, where)


def _merge(under: Located, over: Located) -> None:
    """Keys of `over` into `under`, in place; mappings are joined, anything else is replaced."""
    for key, child in over.value.items():
        there = under.value.get(key)
        if there is not None and isinstance(there.value, dict) and isinstance(child.value, dict):
            _merge(there, child)
        else:
            under.value[key] = child
