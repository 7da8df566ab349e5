"""A configuration mistake found at start costs a minute; one found later costs the recording."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config import Config, ConfigError, load
from daemon.registry import Component, Registry
from daemon.units import format_duration, format_size, parse_duration, parse_size
from pipelines.packet import Event

SECOND = 1_000_000_000


class Door:
    """A live device."""

    overflow = "drop_oldest"

    def __init__(self, stream: str, *, device: int = 0, rate: float = 1.0, every: int = SECOND,
                 mode: Literal["fast", "slow"] = "fast", clock: object = None) -> None:
        self.stream, self.device, self.rate, self.every, self.mode, self.clock = stream, device, rate, every, mode, clock

    async def events(self) -> AsyncGenerator[Event, None]:
        return
        yield


class Book:
    """A file."""

    overflow = "block"

    def __init__(self, stream: str, *, path: Path, start: str | None = None) -> None:
        self.stream, self.path, self.start = stream, path, start

    async def events(self) -> AsyncGenerator[Event, None]:
        return
        yield


class Lines:
    """A sink."""

    def __init__(self, *, path: Annotated[Path, "where"], size: int = 0) -> None:
        self.path, self.size = path, size


REGISTRY = Registry([
    Component("source", "door", f"{__name__}:Door"),
    Component("source", "book", f"{__name__}:Book"),
    Component("sink", "lines", f"{__name__}:Lines"),
    Component("source", "lost", "no_such_package.at_all:Thing"),
])


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path | None, *, sets: tuple[str, ...] = (), flags: dict[str, object] | None = None,
         **environ: str) -> Config:
    return load(path, sets=sets, flags=flags, environ=environ, registry=REGISTRY)


def mistakes(path: Path | None, **kwargs: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, **kwargs)  # type: ignore[arg-type]
    return [f"{Path(m.where).name} | {m.what}" for m in caught.value.mistakes]


def test_without_a_file_the_defaults_are_the_documented_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read(None)
    assert (config.align.length, config.align.hop, config.align.deadline) == (2 * SECOND, SECOND, SECOND // 2)
    assert (config.align.idle_after, config.align.max_ahead) == (2 * SECOND, 3600 * SECOND)
    assert config.mode is None and config.streams == {}


def test_the_repository_s_own_file_is_right_and_says_nothing_but_defaults() -> None:
    path = Path(__file__).parents[2] / "config.yaml"
    text = path.read_text(encoding="utf-8")
    import yaml

    registry = Registry.installed() if Registry.installed().names("source") else None
    if registry is not None:
        assert list(load(path, environ={}, registry=registry).streams) == ["notes"]
    uncommented = "\n".join(
        line.replace("# ", "", 1) if line.startswith("  # ") and ": " in line.split("#")[1] else line
        for line in text.splitlines()
    )
    named = set(yaml.safe_load(uncommented)["align"])
    from dataclasses import fields

    from daemon.config import Align

    assert named == {field.name for field in fields(Align)}, "config.yaml must explain every key of align"


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "align: {length: 4s, hop: 4s, lateness: 4s}\n")
    config = read(path, sets=("align.length=5s",), flags={"align": {"length": "2s"}}, SENSORIUM_ALIGN__LENGTH="3s",
                  SENSORIUM_ALIGN__HOP="3s")
    assert config.align.length == 5 * SECOND
    assert config.align.hop == 3 * SECOND
    assert config.align.lateness == 4 * SECOND
    assert config.align.deadline == SECOND // 2


def test_an_environment_variable_reaches_a_stream_whose_name_no_shell_could_write(tmp_path: Path) -> None:
    path = write(tmp_path, "streams:\n  door.front-1: {type: door}\n")
    config = read(path, SENSORIUM_STREAMS__DOOR_FRONT_1__DEVICE="3")
    assert config.streams["door.front-1"].options == {"device": 3}


def test_set_reaches_a_stream_whose_name_holds_dots(tmp_path: Path) -> None:
    path = write(tmp_path, "streams:\n  door.front: {type: door}\n")
    config = read(path, sets=("streams.door.front.channel.items=7", "streams.door.front.every=250ms"))
    assert config.streams["door.front"].channel.items == 7
    assert config.streams["door.front"].options == {"every": SECOND // 4}


def test_all_mistakes_come_at_once_with_line_expectation_and_nearest_key(tmp_path: Path) -> None:
    path = write(tmp_path, """\
gruop: hall
mode: life
streams:
  front: {type: dor}
  back:
    type: door
    devise: 1
    mode: medium
    every: soon
    chanel: {items: 3}
    channel: {items: 0}
  "a|b": {type: door}
  empty:
align: {lenght: 2s, hop: 5}
mind: {batch_size: -1}
store: {path: [x], retention: {age: never}}
sinks: {file: {type: lines, size: 1MB}}
logs: loud
""")
    found = mistakes(path, SENSORIUM_ALIGN__DEDLINE="1s", SENSORIUM_STOER__PATH="x", sets=("nothing",))
    assert found == [
        "config.yaml:1 | gruop: no such key; did you mean group?",
        "config.yaml:2 | mode: expected live or event_time, got 'life'; did you mean live?",
        "config.yaml:4 | streams.front.type: no such source 'dor'; did you mean 'door'?",
        "config.yaml:7 | streams.back.devise: source 'door' has no such option; did you mean 'device'?",
        "config.yaml:8 | streams.back.mode: expected fast or slow, got 'medium'",
        "config.yaml:9 | streams.back.every: expected a whole number, got 'soon'",
        "config.yaml:10 | streams.back.chanel: source 'door' has no such option; did you mean streams.back.channel?",
        "config.yaml:11 | streams.back.channel.items: expected more than 0, got 0",
        "config.yaml:12 | streams: 'a|b' is no name; letters, digits and . _ - make one",
        "config.yaml:13 | streams.empty: needs type, which source it is; there is: book, door, lost",
        "config.yaml:14 | align.lenght: no such key; did you mean align.length?",
        "config.yaml:14 | align.hop: expected a duration such as 500ms, 2s or 1h, got 5 (which unit? 5s, 5ms)",
        "config.yaml:15 | mind.batch_size: expected more than 0, got -1",
        "config.yaml:16 | store.path: expected a path, got ['x']",
        "config.yaml:16 | store.retention.age: expected a duration such as 500ms, 2s or 1h, got 'never'",
        "config.yaml:17 | sinks.file: sink 'lines' needs the option path (a path)",
        "config.yaml:18 | logs: expected keys (level, format), got 'loud'",
        "environment SENSORIUM_STOER__PATH | no such key; did you mean SENSORIUM_STORE__PATH?",
        "--set nothing | expected KEY=VALUE, such as align.length=4s",
        "environment SENSORIUM_ALIGN__DEDLINE | align.dedline: no such key; did you mean align.deadline?",
    ]


@pytest.mark.parametrize(("text", "what"), [
    ("a: [1\n", "is not YAML"),
    ("a: !!python/object:os.system x\n", "is not YAML"),
    ("- 1\n", "expected keys such as `streams:`"),
    ("group: a\ngroup: b\n", "group: given before, on line 1"),
    ("group: &a [*a]\n", "an alias refers to what it is inside of"),
    ("[1, 2]: 3\n", "a key must be a name"),
    ("group: \0\n", "is not YAML"),
    ("align: " + "[" * 3000, "nested too deeply"),
])
def test_a_file_that_is_no_configuration_is_named_and_never_a_traceback(tmp_path: Path, text: str, what: str) -> None:
    assert any(what in found for found in mistakes(write(tmp_path, text)))


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"group: caf\xe9\n")
    assert mistakes(tmp_path / "latin.yaml") == ["latin.yaml | is not UTF-8 (byte 10)"]
    assert mistakes(tmp_path / "absent.yaml") == ["absent.yaml | cannot be read: No such file or directory"]


def test_a_merge_key_fills_in_and_what_stands_beside_it_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "streams:\n  a: &a {type: door, device: 1, rate: 2}\n  b: {<<: *a, device: 2}\n")
    assert read(path).streams["b"].options == {"device": 2, "rate": 2.0}


def test_an_instant_is_handed_on_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path, "streams:\n  a: {type: book, path: x, start: 2026-03-01T09:00:00Z}\n"
                           "  b: {type: book, path: x, start: 12:30:45}\n")
    assert [stream.options["start"] for stream in read(path).streams.values()] == ["2026-03-01T09:00:00Z", "12:30:45"]


def test_a_live_device_and_a_file_in_one_group_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "streams:\n  a: {type: door}\n  b: {type: book, path: x}\n")
    (found,) = mistakes(path)
    assert "config.yaml:3 | streams.b: goes by event time" in found and "streams.a is live" in found
    assert mistakes(write(tmp_path, "mode: event_time\nstreams:\n  a: {type: door}\n")) == [
        "config.yaml:3 | streams.a: is live, but the group's mode is event_time"
    ]


@pytest.mark.parametrize(("source", "mode"), [("type: door", "live"), ("type: book, path: x", "event_time")])
def test_the_mode_is_what_the_sources_are(tmp_path: Path, source: str, mode: str) -> None:
    assert read(write(tmp_path, f"streams:\n  a: {{{source}}}\n")).mode == mode


def test_a_variable_of_somebody_else_is_not_our_mistake(tmp_path: Path) -> None:
    assert read(write(tmp_path, ""), SENSORIUM_MODELS="/m", SENSORIUM_OPERATOR_7="x").group == "default"
    assert mistakes(write(tmp_path, ""), SENSORIUM_GRUOP="hall") == [
        "environment SENSORIUM_GRUOP | no such key; did you mean SENSORIUM_GROUP?"
    ]


def test_a_missing_library_names_what_to_install(tmp_path: Path) -> None:
    (found,) = mistakes(write(tmp_path, "streams:\n  a: {type: lost}\n"))
    assert found.endswith("source 'lost' needs the package 'no_such_package': pip install no_such_package")


@given(st.integers(min_value=0, max_value=10**18))
def test_a_duration_that_was_printed_reads_back_to_the_same_nanoseconds(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("text", "value"), [
    ("500ms", 500_000_000), ("2s", 2 * SECOND), ("1h30m", 5400 * SECOND), ("1.5 h", 5400 * SECOND), ("0", 0), (0, 0),
    ("0.1us", 100), ("3 d", 3 * 86_400 * SECOND), ("2min", 120 * SECOND),
])  # fmt: skip
def test_durations_are_exact(text: object, value: int) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "2", 2, "2 parsecs", "-1s", True, None, "s", "1e9s", "9" * 30 + "s", "2S", "1s;"])
def test_a_duration_without_a_right_unit_is_refused_not_guessed(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 500ms, 2s or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "value"), [
    ("64MB", 64_000_000), ("64MiB", 64 << 20), ("1.5k", 1500), (17, 17), ("17", 17), ("2 gib", 2 << 30), ("1TB", 10**12),
])  # fmt: skip
def test_sizes_are_exact(text: object, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "64 bits", -1, 1.5, True, None, "MB"])
def test_a_wrong_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 64MB"):
        parse_size(text)


def test_sizes_for_people() -> None:
    assert [format_size(n) for n in (0, 999, 1_500, 64_000_000, 5_200_000_000_000)] == [
        "0 B", "999 B", "1.5 kB", "64 MB", "5.2 TB",
    ]  # fmt: skip
