"""`daemon` and its neighbours are common names: another package's `daemon` in front of ours would start the wrong program."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from daemon.registry import GROUPS, Component, Kind

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENTRIES = [
    (kind, name, target)
    for kind, group in GROUPS.items()
    for name, target in PROJECT.get("entry-points", {}).get(group, {}).items()
]


@pytest.mark.parametrize("name", ["daemon", "connectors", "pipelines", "multimodal"])
def test_a_top_level_package_is_ours(name: str) -> None:
    module = import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_no_dependency_brings_a_package_daemon() -> None:
    assert not [line for line in PROJECT["dependencies"] if line.lower().replace("_", "-").startswith("python-daemon")]


def test_the_command_is_what_pyproject_says() -> None:
    module, _, name = PROJECT["scripts"]["sensorium"].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(("kind", "name", "target"), ENTRIES, ids=str)
def test_every_source_and_sink_opens_and_says_what_it_is(kind: Kind, name: str, target: str) -> None:
    component = Component(kind, name, target)
    assert component.help, "the docstring is the help"
    assert all(option.expected for option in component.options.values())
    assert all(option.help for option in component.options.values()), "each option has its line under `Options:`"


def test_what_is_named_in_pyproject_is_what_is_installed() -> None:
    from daemon.registry import Registry

    registry = Registry.installed()
    for kind in GROUPS:
        names = {name for its, name, _ in ENTRIES if its == kind}
        assert names <= set(registry.names(kind)), "entry points are read at installation: pip install -e . once more"
