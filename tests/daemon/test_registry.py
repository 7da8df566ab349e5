"""A source is one file and one line: if its keywords, hints or docstring did not reach the user, it would be three."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import Field

from daemon.registry import Component, Registry, RegistryError

if TYPE_CHECKING:
    from nowhere import Clock


class Weather:
    """Reads a weather station.

    Options:
        port: of the station,
            as printed on its back.
        unit: of the temperature.
    """

    overflow = "keep_latest"
    requires = ("json", "no_such_library")

    def __init__(self, stream: str, *, port: Annotated[int, Field(ge=1, le=65535)], every: int | None = None,
                 unit: Literal["c", "f"] = "c", name: str = "", log: Path | None = None,
                 clock: Clock | None = None) -> None:
        self.stream, self.port, self.every, self.unit, self.name, self.log = stream, port, every, unit, name, log
        self.clock = clock


class Plain:
    def __init__(self) -> None:
        pass


class Lines:
    def __init__(self, path: Path | str, *, fsync: Literal["batch", "never"] = "batch") -> None:
        self.path, self.fsync = path, fsync


COMPONENT = Component("source", "weather", f"{__name__}:Weather")


def test_the_constructor_is_the_option_list_and_the_docstring_the_help() -> None:
    assert {name: option.required for name, option in COMPONENT.options.items()} == {
        "port": True, "every": False, "unit": False, "name": False, "log": False,
    }  # fmt: skip
    assert COMPONENT.help.startswith("Reads a weather station.")
    assert COMPONENT.options["port"].help == "of the station, as printed on its back."
    assert COMPONENT.options["unit"].expected == "c or f"


@pytest.mark.parametrize(("given", "expected"), [
    ({"port": 80, "every": "500ms"}, {"port": 80, "every": 500_000_000}),
    ({"port": 80, "every": "2MB"}, {"port": 80, "every": 2_000_000}),
    ({"port": "80", "log": "x"}, {"port": 80, "log": Path("x")}),
    ({"port": 80, "name": 12}, {"port": 80, "name": "12"}),
    ({"port": 80, "every": None}, {"port": 80, "every": None}),
])
def test_values_become_what_the_hints_say(given: Mapping[str, object], expected: Mapping[str, object]) -> None:
    assert COMPONENT.check(given) == (expected, [])


def test_every_wrong_option_is_named_at_once_with_what_would_be_right() -> None:
    _, wrong = COMPONENT.check({"prot": 80, "unit": "k", "every": "soon", "log": 3})
    assert wrong == [
        ("prot", "source 'weather' has no such option; did you mean 'port'?"),
        ("unit", "expected c or f, got 'k'"),
        ("every", "expected a whole number, got 'soon'"),
        ("log", "expected a path, got 3"),
        (None, "source 'weather' needs the option port (a whole number)"),
    ]
    _, ((_, sentence),) = COMPONENT.check({"port": 70_000})
    assert sentence.startswith("expected a whole number, got 70000 (") and "65535" in sentence


def test_the_program_gives_its_clock_to_those_that_want_one() -> None:
    clock = object()
    made = COMPONENT.create("s", options={"port": 1}, clock=clock, unknown=1)
    assert (made.stream, made.port, made.clock) == ("s", 1, clock)
    assert isinstance(Component("sink", "plain", f"{__name__}:Plain").create(options={}, clock=clock), Plain)


def test_what_this_machine_lacks_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert COMPONENT.missing({"port": 1, "log": absent}) == [
        "needs the package 'no_such_library': pip install no_such_library",
        f"{absent} is not there",
    ]
    assert COMPONENT.missing({"port": 1, "log": tmp_path}) == [
        "needs the package 'no_such_library': pip install no_such_library"
    ]


def test_a_missing_extra_names_the_extra() -> None:
    from daemon.registry import needs

    assert needs("av.audio") == "needs the package 'av': pip install 'sensorium[media]'"


def test_a_name_that_is_not_there_gets_the_nearest_or_all() -> None:
    registry = Registry([COMPONENT])
    with pytest.raises(RegistryError, match="no such source 'wether'; did you mean 'weather'"):
        registry.find("source", "wether")
    with pytest.raises(RegistryError, match="no such source 'xyz'; there is: weather"):
        registry.find("source", "xyz")
    with pytest.raises(RegistryError, match="cannot be opened"):
        _ = Component("source", "bad", f"{__name__}:Nothing").cls


def test_a_short_spec_fills_the_first_option() -> None:
    registry = Registry([
        COMPONENT, Component("source", "plain", f"{__name__}:Plain"), Component("sink", "lines", f"{__name__}:Lines"),
    ])  # fmt: skip
    kind, options = registry.spec("sink", "lines:a:b.jsonl")
    assert registry.find("sink", kind).create(options=options).path == "a:b.jsonl"
    assert registry.spec("source", "weather:8080") == ("weather", {"port": "8080"})
    assert registry.spec("source", "weather") == registry.spec("source", "weather:") == ("weather", {})
    with pytest.raises(RegistryError, match="takes no option"):
        registry.spec("source", "plain:x")


def test_the_catalogue_shows_help_and_options_and_survives_one_that_cannot_be_opened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import json

    from daemon.cli import _catalogue

    registry = Registry([COMPONENT, Component("sink", "lost", "no_such_package.at_all:Thing")])
    _catalogue.show(registry, as_json=False)
    text = capsys.readouterr().out
    for part in ("source weather", "Reads a weather station.", "a whole number, required", "c or f, default c"):
        assert part in text
    assert "sink lost" in text and "pip install no_such_package" in text
    _catalogue.show(registry, as_json=True)
    weather, lost = json.loads(capsys.readouterr().out)["components"]
    assert [option["name"] for option in weather["options"]] == ["port", "every", "unit", "name", "log"]
    assert lost["problem"] and lost["options"] == []
