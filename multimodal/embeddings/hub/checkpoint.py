"""From a name to a folder of safetensors that can be trusted to hold numbers only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from multimodal.embeddings.runtime import Device, instruction_set
from multimodal.errors import ConfigError, ModelFetchError, ModelMissingError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FILES = ("*.json", "*.txt", "*.safetensors", "*.model")
_INSTALL = "checkpoints of others are read by transformers: pip install 'sensorium[hub]'"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder, what its `config.json` says, and how it is to be computed.

    Attributes:
        name: as it was asked for.
        folder: that holds it.
        config: its `config.json`.
        device, dtype: that its modules are moved to.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    device: torch.device
    dtype: torch.dtype

    @property
    def model_type(self) -> str:
        """As transformers names the architecture: "clip", "siglip2", "clap", "bert", ..."""
        return str(self.config.get("model_type", ""))

    @property
    def is_sentence_transformer(self) -> bool:
        """It has the list of modules that the sentence-transformers format begins with."""
        return (self.folder / "modules.json").is_file()

    def load(self, kind: str, **options: Any) -> Any:
        """`transformers.<kind>.from_pretrained` of this folder: no network, no code, no pickle; in eval mode.

        Raises:
            ModelFetchError: it cannot be read; the message says why.
        """
        transformers = library()
        try:
            made = getattr(transformers, kind).from_pretrained(
                str(_inner(self.folder)), local_files_only=True, trust_remote_code=False, **options
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
            raise ModelFetchError(f"{self.name} cannot be opened as {kind}: {error}") from error
        return made

    def model(self, kind: str = "AutoModel") -> Any:
        """Its modules, where and as they are to be computed.

        Raises:
            ModelFetchError: a weight is missing in the file; nothing is filled in at random.
        """
        module, report = self.load(kind, use_safetensors=True, dtype=self.dtype, output_loading_info=True)
        if missing := sorted(report["missing_keys"]):
            raise ModelFetchError(f"{self.name} lacks weights, such as {missing[0]}: it is not a whole {kind}")
        return module.to(self.device).eval()

    def fingerprint(self) -> str:
        """Name, hash of weights, vocabulary and settings, precision, runtime and processor."""
        digest = hashlib.sha256()
        for path in sorted(path for pattern in _FILES for path in self.folder.rglob(pattern)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        where = torch.cuda.get_device_name() if self.device.type == "cuda" else instruction_set()
        precision = str(self.dtype).removeprefix("torch.")
        return f"{Path(self.name).name}@{digest.hexdigest()[:12]}/{precision}/torch-{torch.__version__}/{where}"


def find(
    name: str, *, device: Device = "auto", local_files_only: bool = False, revision: str | None = None,
    dtype: str = "float32",
) -> Checkpoint:  # fmt: skip
    """The checkpoint of that name: a folder on this disk, else one on the hub, also as ``owner/name@revision``.

    Raises:
        ConfigError: device or dtype unknown, or "cuda" without CUDA.
        ModelMissingError: it is not on this disk and may not be, or cannot be, fetched.
        ModelFetchError: it holds no safetensors, or wants code of its own.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise ConfigError("device is 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        repository, _, asked = name.partition("@")
        folder = _fetch(repository, local_files_only=local_files_only, revision=revision or asked or None)
    config = read_json(_inner(folder) / "config.json")
    if not any(folder.rglob("*.safetensors")):
        raise ModelFetchError(f"{name} holds no *.safetensors: weights in other formats can run code and are not read")
    if "auto_map" in config:
        raise ModelFetchError(f"{name} wants to run code of its own (auto_map in its config.json); that is never done")
    return Checkpoint(name, folder, config, torch.device("cuda" if cuda and device != "cpu" else "cpu"), DTYPES[dtype])


def library() -> Any:
    """transformers, quiet about itself.

    Raises:
        ModelMissingError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelMissingError(_INSTALL) from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def read_json(path: Path) -> dict[str, Any]:
    """An object in a file of the checkpoint.

    Raises:
        ModelFetchError: it is not there, or no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFetchError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ModelFetchError(f"{path} holds no JSON object")
    return document


def _inner(folder: Path) -> Path:
    """Where the transformer itself lies: the folder, or for older sentence-transformers models one inside."""
    return folder if (folder / "config.json").is_file() or not (inner := folder / "0_Transformer").is_dir() else inner


def _fetch(name: str, *, local_files_only: bool, revision: str | None) -> Path:
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelMissingError(f"there is no folder {name}")
    library()
    from huggingface_hub import snapshot_download  # comes with transformers

    try:
        folder = snapshot_download(
            name, revision=revision, local_files_only=local_files_only, allow_patterns=list(_FILES), user_agent=None
        )
    except Exception as error:  # its own errors, those of its HTTP client and of the disk have no common base
        why = "it was not fetched before and local_files_only is set" if local_files_only else str(error).splitlines()[0]
        raise ModelMissingError(f"{name} is no folder here, and the hub did not give it: {why}") from error
    return Path(folder)
