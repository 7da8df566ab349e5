"""Folders that hold what a retriever knows: arrays as .npy, the rest as JSON, named by one manifest. No pickle.

A folder is written anew beside what it held: the files go into a directory of their own, then `manifest.json`, which names
them with sizes and SHA-256, takes the place of the old one in one step. Whoever is interrupted leaves the old state; files
that no manifest names are taken away by the next save. One writer at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import InputError

FORMAT, VERSION = "sensorium-retrieval", 1
MANIFEST = "manifest.json"


class Writer:
    """Collects the files of one state."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._documents: dict[str, Any] = {}

    def document(self, name: str, value: Any) -> None:
        """A value that JSON can hold."""
        self._documents[name] = value

    def arrays(self, name: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Arrays without Python objects in them."""
        for column, values in columns.items():
            np.save(self.file(f"{name}.{column}.npy"), values, allow_pickle=False)
        self._documents[f"{name} (arrays)"] = sorted(columns)

    def file(self, name: str) -> Path:
        """Where to write a file of another format."""
        return self._directory / name

    def finish(self) -> dict[str, Any]:
        """Everything on the disk; what the manifest says of it."""
        path = self.file("documents.json")
        path.write_text(json.dumps(self._documents, allow_nan=True), encoding="utf-8")
        files = {}
        for one in sorted(self._directory.iterdir()):
            files[one.name] = {"bytes": one.stat().st_size, "sha256": _digest(one)}
            _sync(one)
        _sync(self._directory)
        return files


class Reader:
    """The files of one state, as they were written."""

    def __init__(self, directory: Path, files: Mapping[str, Any], origin: Path) -> None:
        self._directory, self._files, self._origin = directory, files, origin
        self._documents = json.loads(self.file("documents.json").read_text(encoding="utf-8"))

    def document(self, name: str) -> Any:
        """Raises InputError where there is none of this name."""
        if name not in self._documents:
            raise _damaged(self._origin, f"it says nothing about {name!r}")
        return self._documents[name]

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Mapped from their files; what is written to them stays in memory."""
        found = {}
        for column in self.document(f"{name} (arrays)"):
            path = self.file(f"{name}.{column}.npy")
            try:
                found[column] = np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)
            except ValueError as error:
                raise _damaged(self._origin, f"{path.name} is no array") from error
        return found

    def file(self, name: str) -> Path:
        if name not in self._files:
            raise _damaged(self._origin, f"{name} is missing")
        return self._directory / name


@contextmanager
def written(path: str | Path, kind: str) -> Iterator[Writer]:
    """Write a state to the folder `path`; it is there once the block is left without an error.

    Raises:
        InputError: the folder holds something else.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder.name} is a file; a retriever is saved to a folder")
    if folder.is_dir() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise InputError(f"the folder {folder.name} holds something else; save to a new or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / f"state-{uuid.uuid4().hex[:12]}"
    state.mkdir()
    waiting = folder / f"{state.name}.json"
    try:
        out = Writer(state)
        yield out
        manifest = {"format": FORMAT, "version": VERSION, "kind": kind, "state": state.name, "files": out.finish()}
        waiting.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _sync(waiting)
    except BaseException:
        waiting.unlink(missing_ok=True)
        shutil.rmtree(state, ignore_errors=True)
        raise
    waiting.replace(folder / MANIFEST)
    _sync(folder)
    for old in folder.glob("state-*"):
        if old != state:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def opened(path: str | Path, kind: str, *, verify: bool = True) -> Reader:
    """The state in the folder `path`; without `verify` only the sizes of its files are looked at.

    Raises:
        InputError: there is none, it is of another kind or a later version, or a file of it is missing or changed.
    """
    folder = Path(path)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder.name} is no folder that a retriever was saved to: it has no {MANIFEST}") from None
    except (ValueError, NotADirectoryError) as error:
        raise InputError(f"{folder.name} is no folder that a retriever was saved to: {MANIFEST} is no JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{folder.name} is no folder that a retriever was saved to: its {MANIFEST} is of something else")
    if manifest.get("version") != VERSION:
        raise InputError(f"{folder.name} is of version {manifest.get('version')}; this program reads version {VERSION}")
    if manifest.get("kind") != kind:
        raise InputError(f"{folder.name} holds a {manifest.get('kind')}, not a {kind}")
    state, files = folder / Path(str(manifest.get("state"))).name, manifest.get("files")
    if not isinstance(files, dict):
        raise _damaged(folder, f"{MANIFEST} names no files")
    for name, said in files.items():
        one = state / Path(name).name
        if not one.is_file():
            raise _damaged(folder, f"{name} is missing")
        if one.stat().st_size != said["bytes"] or (verify and _digest(one) != said["sha256"]):
            raise _damaged(folder, f"{name} is not as it was written")
    return Reader(state, files, folder)


def _damaged(folder: Path, what: str) -> InputError:
    return InputError(f"{folder.name} is damaged and is not used: {what}; save it again, or take a copy")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
