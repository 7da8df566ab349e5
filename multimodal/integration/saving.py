"""A processor on disk: what it is made of and what it has learned. The models themselves stay where they are.

    FOLDER/processor.json      configuration, the models' identities, SHA-256 of the files beside it
    FOLDER/shown.safetensors   the maps that show the space in other dimensions
    FOLDER/fusion.safetensors  a trained fusion, as `multimodal.fusion.saved` writes it
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from multimodal.errors import ConfigError, InputError
from multimodal.fusion.learned import LearnedFusion
from multimodal.fusion.window import WindowFusion
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.strategies import WEIGHTS

DOCUMENT, MAPS = "processor.json", "shown.safetensors"
FORMAT = "sensorium-processor-1"

MAKE_UP = (
    "text_embedding_dim", "image_embedding_dim", "audio_embedding_dim", "shared_embedding_dim", "max_sequence_length",
    "max_image_size", "max_audio_duration", "fusion_method", "mixed_precision",
)  # fmt: skip
"""What decides the numbers; everything else may differ between the one who saved and the one who loads."""


def write(
    path: str | Path, config: IntegrationConfig, models: Mapping[str, str], fusion: WindowFusion, maps: Mapping[int, Tensor]
) -> None:
    """Into a folder, made where it is not there. The document, which names the rest, comes last: a save that is cut short
    is refused when it is read.

    Raises:
        InputError: the folder is a file.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a processor is saved to a folder")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / MAPS, save({str(size): tensor.contiguous() for size, tensor in maps.items()}))
    names = [MAPS]
    if isinstance(fusion, LearnedFusion):
        fusion.save(folder / WEIGHTS)
        names.append(WEIGHTS)
    files = {name: _digest(folder / name) for name in names}
    document = {"format": FORMAT, "config": asdict(config), "models": dict(models), "files": files}
    _replace(folder / DOCUMENT, json.dumps(document, indent=1, sort_keys=True).encode())


def read(path: str | Path, config: IntegrationConfig, models: Mapping[str, str]) -> tuple[dict[int, Tensor], Path | None]:
    """The maps by dimension, and the file of the fusion's weights where there are any, both as they were written.

    Raises:
        InputError: there is no saved processor, or it is damaged.
        ConfigError: it is of another make-up; every difference is named.
    """
    folder = Path(path)
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no saved processor: {DOCUMENT} is not there") from None
    except (ValueError, OSError) as error:
        raise _damaged(folder, f"{DOCUMENT} cannot be read ({error})") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"{folder} holds no processor of this version; {DOCUMENT} would say format {FORMAT!r}")
    try:
        saved, made_of, files = (document[name] for name in ("config", "models", "files"))
        theirs = {name: saved[name] for name in MAKE_UP} | {f"model of {name}": made_of[name] for name in models}
        digests = {name: files[name] for name in (MAPS, *({WEIGHTS} & set(files)))}
    except (KeyError, TypeError) as error:
        raise _damaged(folder, f"{DOCUMENT} lacks {error}") from error
    for name, digest in digests.items():
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is missing")
        if _digest(folder / name) != digest:
            raise _damaged(folder, f"{name} is not as it was written")
    ours = {name: getattr(config, name) for name in MAKE_UP} | {f"model of {name}": own for name, own in models.items()}
    ours["max_image_size"] = list(config.max_image_size)
    if wrong := [f"{name} is {theirs[name]!r} there, {own!r} here" for name, own in ours.items() if theirs[name] != own]:
        raise ConfigError(f"{folder} is of another make-up: {'; '.join(wrong)}")
    try:
        maps = load((folder / MAPS).read_bytes())
    except SafetensorError as error:
        raise _damaged(folder, str(error)) from error
    return {int(size): tensor for size, tensor in maps.items()}, folder / WEIGHTS if WEIGHTS in digests else None


def identities(fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Name and hash of the weights of each model, without the machine it runs on."""
    return {name: fingerprint.split("/")[0] for name, fingerprint in fingerprints.items()}


def _damaged(folder: Path, what: str) -> InputError:
    return InputError(f"{folder} is damaged and is not used: {what}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
