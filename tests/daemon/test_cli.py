"""The command line is what people and scripts hold on to: codes, one-line errors, clean stdout, help at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest

from daemon import cli
from daemon.config import ConfigError, Mistake
from pipelines.errors import StoreError

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "torch", "openvino", "cv2", "rich", "pydantic", "structlog", "yaml", "multimodal", "connectors", "asyncio"}
HERE = [name for name in cli.COMMANDS if (ROOT / "daemon" / "cli" / f"{name}.py").exists()]


def sensorium(*args: str, stdout: int = subprocess.PIPE, cwd: Path = ROOT, **environ: str) -> subprocess.Popen[str]:
    """The real program in a process of its own, without a configuration of this machine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SENSORIUM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "daemon", *args], stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """`sensorium run` replaced by one that raises what the test put into the list."""
    raised: list[BaseException] = []

    @click.command()
    def fails() -> NoReturn:
        raise raised[0]

    module = type(sys)("daemon.cli.run")
    module.command = fails  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "daemon.cli.run", module)
    yield raised


@pytest.mark.parametrize("name", [None, *HERE])
def test_help_shows_an_example_and_imports_nothing_heavy(name: str | None) -> None:
    program = (
        "import sys\nfrom daemon.cli import call\n"
        f"code = call({[name, '--help'] if name else ['--help']!r})\n"
        "print('LOADED', *sys.modules)\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    text, _, loaded = done.stdout.partition("LOADED")
    assert "Example" in text and "sensorium" in text
    assert not HEAVY & set(loaded.split())


@pytest.mark.parametrize("name", HERE)
def test_the_line_in_the_list_is_the_line_of_the_command(name: str) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    assert command.help is not None and command.help.splitlines()[0] == cli.COMMANDS[name]


def test_every_parameter_of_every_command_says_what_it_is() -> None:
    silent = [
        f"{name} {parameter.name}"
        for name in HERE
        for parameter in getattr(cli.cli.get_command(click.Context(cli.cli), name), "params", ())
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []


def test_a_command_that_is_not_there_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["serach"]) == 2
    assert "did you mean 'search'?" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code", "lines"), [
    (StoreError("the store is gone: here"), 1, ["sensorium: the store is gone: here"]),
    (ConfigError((Mistake("a:1", "x"), Mistake("a:2", "y"))), 78, ["sensorium: a:1: x", "sensorium: a:2: y"]),
    (FileNotFoundError(2, "No such file or directory", "x.mcap"), 1, ["sensorium: x.mcap: No such file or directory"]),
    (ExceptionGroup("tasks", [StoreError("a"), ExceptionGroup("more", [StoreError("b"), StoreError("a")])]), 1,
     ["sensorium: a", "sensorium: b"]),
    (KeyboardInterrupt(), 130, []),
])
def test_what_went_wrong_is_a_line_and_a_code_and_no_traceback(
    command: list[BaseException], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, lines: list[str]
) -> None:
    command.append(error)
    assert cli.call(["run"]) == code
    shown = capsys.readouterr()
    assert [line for line in shown.err.splitlines() if line] == lines
    assert shown.out == ""


def test_the_errors_of_the_mind_are_lines_too(
    command: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    from multimodal.errors import ModelMissingError

    command.append(ModelMissingError("the model x is not here: run `sensorium models pull`"))
    assert cli.call(["run"]) == 1
    assert capsys.readouterr().err == "sensorium: the model x is not here: run `sensorium models pull`\n"


def test_debug_lets_the_traceback_out_and_leaves_no_trace_behind(command: list[BaseException]) -> None:
    command.append(StoreError("x"))
    with pytest.raises(StoreError):
        cli.call(["--debug", "run"])
    assert "SENSORIUM_DEBUG" not in os.environ
    assert cli.call(["run"]) == 1


def test_a_bug_is_never_hidden_behind_a_line(command: list[BaseException]) -> None:
    command.append(TypeError("a bug"))
    with pytest.raises(TypeError):
        cli.call(["run"])


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with sensorium("--help", stdout=write) as process:
            assert process.stderr is not None
            assert (process.wait(), process.stderr.read()) == (141, "")
    finally:
        os.close(write)


def test_a_reader_that_goes_away_while_moments_are_printed_ends_it_quietly_too(
    command: list[BaseException], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sensorium replay hall.mcap | head`: printed from a task, the broken pipe comes in a group."""
    null = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(null, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        command.append(BaseExceptionGroup("tasks", [BrokenPipeError(32, "Broken pipe")]))
        assert cli.call(["run"]) == 141
    assert capsys.readouterr().err == ""


def test_a_table_into_a_pipe_that_nobody_reads_ends_with_141(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with sensorium("doctor", cwd=tmp_path, stdout=write) as process:
            assert process.stderr is not None
            assert (process.wait(), process.stderr.read()) == (141, "")
    finally:
        os.close(write)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sensorium ")


def test_check_in_json_lists_every_mistake_and_keeps_stdout_for_json(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("gruop: x\nalign: {hop: never}\n")
    with sensorium("check", "--json", cwd=tmp_path) as process:
        out, err = process.communicate()
    assert process.returncode == 78 and err == ""
    found = json.loads(out)
    assert found["ok"] is False
    assert [m["where"] for m in found["mistakes"]] == ["config.yaml:1", "config.yaml:2"]


def test_check_of_a_right_file_shows_the_whole_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.call(["check", "--json", "--set", "align.length=4s", "--set", "store.path=[odd]"]) == 78
    capsys.readouterr()
    assert cli.call(["check", "--json", "--set", "align.length=4s", "--set", "store.path='[odd]'"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["align"]["length"] == 4_000_000_000
    assert [item["for"] for item in found["missing"]] == ["streams"]
    assert cli.call(["check", "--set", "store.path='[odd]'"]) == 1
    shown = capsys.readouterr().out
    assert "[odd]" in shown, "a path is shown as it is, not read as a colour"
    assert "nothing to watch" in shown


def test_doctor_in_json_says_what_to_do_about_each_missing_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SENSORIUM_STORE__PATH", str(tmp_path / "store"))
    code = cli.call(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is (code == 0)
    assert all(item["todo"] for item in found["findings"] if item["state"] != "ok")
    assert {"program", "model", "camera", "sound card", "disk", "store"} <= {item["area"] for item in found["findings"]}
    assert cli.call(["doctor"]) == code
    assert "sensorium models pull" in capsys.readouterr().out


def test_models_lists_licence_and_size_and_refuses_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path))
    assert cli.call(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert {row["name"]: row["ready"] for row in rows} == {"minilm": False, "efficientnet-lite0": False, "yamnet": False}
    assert all(row["licence"] and row["download_bytes"] > 0 for row in rows)
    assert cli.call(["models"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert cli.call(["models", "pull", "yamnett"]) == 2
    assert "no such model" in capsys.readouterr().err


def test_bench_refuses_a_measurement_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["bench", "sped"]) == 2
    assert "speed" in capsys.readouterr().err
