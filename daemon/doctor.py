"""Looks at the machine: what is installed, which devices, which models, how much disk, how the store is.

Every probe takes what it looks at as an argument and returns findings; none raises, none changes anything.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from daemon.units import format_size

EXTRAS = {"media": "pictures and sound tracks of media files"}
"""What each extra of this package gives."""

LOW_DISK = 2_000_000_000
PATIENCE = 5.0
"""Seconds the check of a store may take."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `todo` says what to do where the state is not ok; `broken` is something required."""

    area: str
    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    todo: str | None = None


def python(version: tuple[int, ...] = sys.version_info[:3]) -> list[Finding]:
    """The interpreter itself."""
    text = ".".join(map(str, version))
    if version < (3, 11):
        return [Finding("program", "python", "broken", text, "sensorium needs Python 3.11 or newer")]
    return [Finding("program", "python", "ok", text)]


def packages(
    requires: Iterable[str] | None = None, version_of: Callable[[str], str] = metadata.version
) -> list[Finding]:
    """What sensorium declares that it needs (None: as installed), and what each extra would add."""
    if requires is None:
        try:
            requires = metadata.requires("sensorium") or []
        except metadata.PackageNotFoundError:
            return [Finding("program", "sensorium", "broken", "not installed", "pip install -e . in its folder")]
    found = []
    for line in requires:
        requirement, _, marker = line.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match is None:
            continue
        name = match[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        what = f" ({EXTRAS[extra[1]]})" if extra and extra[1] in EXTRAS else ""
        todo = f"pip install 'sensorium[{extra[1]}]'" if extra else f"pip install '{requirement.strip()}'"
        state: Literal["missing", "broken"] = "missing" if extra else "broken"
        area = f"extra {extra[1]}" if extra else "package"
        floor = re.search(r">=\s*([0-9.]+)", requirement)
        try:
            have = version_of(name)
        except metadata.PackageNotFoundError:
            found.append(Finding(area, name, state, f"not installed{what}", todo))
            continue
        if floor is not None and _numbers(have) < _numbers(floor[1]):
            found.append(Finding(area, name, state, f"{have}, too old (from {floor[1]} on){what}", todo))
        else:
            found.append(Finding(area, name, "ok", f"{have}{what}"))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def cameras(root: Path = Path("/")) -> list[Finding]:
    """Video devices, with the name their driver gives and whether we may open them."""
    found = []
    for device in sorted((root / "dev").glob("video*")):
        label = root / "sys/class/video4linux" / device.name / "name"
        name = _read(label) or "a video device"
        if _readable(device):
            found.append(Finding("camera", f"/dev/{device.name}", "ok", name))
        else:
            todo = "add yourself to its group: sudo usermod -aG video $USER, then log in again"
            found.append(Finding("camera", f"/dev/{device.name}", "missing", f"{name}, but it may not be opened", todo))
    none = Finding("camera", "cameras", "missing", "none found", "plug one in, or use a file or the bundled recording")
    return found or [none]


def sound_cards(root: Path = Path("/")) -> list[Finding]:
    """Sound cards as ALSA lists them."""
    text = _read(root / "proc/asound/cards") or ""
    cards = re.findall(r"^\s*(\d+) \[(\S+)\s*\]: (.+)$", text, re.MULTILINE)
    found = [Finding("sound card", f"{number} ({short})", "ok", name.strip()) for number, short, name in cards]
    none = Finding("sound card", "sound cards", "missing", "none found", "plug one in, or use a media file's sound track")
    return found or [none]


def cuda() -> list[Finding]:
    """Loads torch, which takes seconds: only when asked."""
    try:
        import torch
    except ImportError as error:
        return [Finding("gpu", "CUDA", "missing", f"torch cannot be loaded: {error}", "pip install torch")]
    if not torch.cuda.is_available():
        built = "this torch is built without CUDA" if torch.version.cuda is None else "no device answers"
        return [Finding("gpu", "CUDA", "missing", built, "not needed: the models run on the CPU")]
    return [
        Finding("gpu", f"cuda:{number}", "ok", torch.cuda.get_device_name(number))
        for number in range(torch.cuda.device_count())
    ]


def models() -> list[Finding]:
    """The pretrained models on this disk; none of them is loaded."""
    from multimodal.embeddings.models import status

    return [
        Finding("model", row.model.name, "ok", f"ready in {row.folder}")
        if row.ready
        else Finding("model", row.model.name, "missing", row.model.title, row.problem)
        for row in status()
    ]


def disk(places: Sequence[tuple[str, Path]]) -> list[Finding]:
    """Free space where things will be written; a place that is not there yet is judged by its nearest parent."""
    found = []
    for name, place in places:
        there = next((parent for parent in (place, *place.absolute().parents) if parent.exists()), Path("/"))
        try:
            free = shutil.disk_usage(there).free
        except OSError as error:
            found.append(Finding("disk", name, "broken", f"{place}: {error.strerror}", "choose another directory"))
            continue
        detail = f"{format_size(free)} free at {place}"
        if free < LOW_DISK:
            found.append(Finding("disk", name, "missing", detail, f"make room: below {format_size(LOW_DISK)}"))
        else:
            found.append(Finding("disk", name, "ok", detail))
    return found


def store(directory: Path, clock: Callable[[], float] = time.monotonic) -> list[Finding]:
    """Whether the database can be read and is sound; a check longer than PATIENCE is given up, and says so."""
    from pipelines.store.schema import DATABASE

    path = directory / DATABASE
    if not path.exists():
        return [Finding("store", str(directory), "ok", "none yet; the first run makes it")]
    deadline = clock() + PATIENCE
    note = ""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        try:
            connection.set_progress_handler(lambda: clock() > deadline, 50_000)
            moments = connection.execute("SELECT count(*) FROM moments").fetchone()[0]
            try:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                verdict, note = "ok", f" (only part was checked, {PATIENCE:.0f} s were not enough)"
        finally:
            connection.close()
    except sqlite3.Error as error:
        verdict, moments = str(error), 0
    if verdict != "ok":
        todo = "the next run puts it aside and starts a fresh one; copy it first if you want to rescue it"
        return [Finding("store", str(directory), "broken", f"cannot be read: {verdict}", todo)]
    size = format_size(path.stat().st_size)
    return [Finding("store", str(directory), "ok", f"{moments} moment{'' if moments == 1 else 's'}, {size}{note}")]


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _readable(path: Path) -> bool:
    import os

    return os.access(path, os.R_OK | os.W_OK)
