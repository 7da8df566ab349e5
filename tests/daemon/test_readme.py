"""The README is the first program a person runs: its examples must work as they stand."""

from __future__ import annotations

import re
import shlex
import sys
import types
from contextlib import aclosing
from pathlib import Path

import click
import pytest

from daemon import cli
from daemon.config import load
from daemon.registry import Component, Registry
from pipelines.packet import Packet

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
LINES = [
    line
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("sensorium ")
]


def block(language: str, mark: str) -> str:
    (found,) = (text for its, text in BLOCKS if its == language and mark in text)
    return found


def test_the_configuration_of_a_film_is_right(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(block("yaml", "# film.yaml"), encoding="utf-8")
    config = load(path, environ={})
    assert (list(config.streams), config.mode) == (["picture", "sound"], "event_time")


async def test_the_source_of_add_a_source_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("weather")
    monkeypatch.setitem(sys.modules, "weather", module)
    exec(compile(block("python", "class Weather"), "weather.py", "exec"), module.__dict__)
    target = re.search(r'weather = "(.+)"', block("toml", "entry-points"))
    assert target is not None
    component = Component("source", "weather", target[1])
    path = tmp_path / "config.yaml"
    path.write_text("streams: {hall: {type: weather, every: 10}}")
    config = load(path, environ={}, registry=Registry([component]))
    assert config.mode == "live"
    async with aclosing(component.create("hall", options=config.streams["hall"].options).events()) as events:
        packet = await anext(events)
    assert isinstance(packet, Packet)
    assert (packet.stream, packet.modality, packet.payload) == ("hall", "text", "21 degrees in the hall")


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_understood(line: str) -> None:
    name, *args = shlex.split(line)[1:]
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    assert command.make_context(name, args, resilient_parsing=False).params


def test_every_command_is_in_the_table() -> None:
    table = set(re.findall(r"^\| `sensorium (\w+)", TEXT, re.MULTILINE))
    assert table == set(cli.COMMANDS)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
