"""Pipelines of diffusers, from a folder on this disk or from the hub: safetensors only, no code of theirs, no network once
the folder is there."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings.runtime import Device
from multimodal.errors import ConfigError, ModelFetchError, ModelMissingError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Pipeline:
    """A pipeline that was read, and where its name came from. Not thread-safe: its scheduler holds the place of a run."""

    def __init__(
        self, model: str | Path | None, *, device: torch.device, local_files_only: bool, revision: str | None, dtype: str
    ) -> None:
        if model is None:
            raise ConfigError("backend='diffusers' needs model: a folder with a saved pipeline, or a name on the hub")
        if dtype not in DTYPES:
            raise ConfigError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
        try:
            import diffusers
        except ImportError as error:
            raise ModelMissingError("this backend needs diffusers: pip install 'sensorium[hub]'") from error
        self.name = str(model)
        folder = _folder(self.name, local_files_only=local_files_only, revision=revision)
        try:
            made = diffusers.DiffusionPipeline.from_pretrained(
                folder, dtype=DTYPES[dtype], local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, AttributeError, ImportError, RuntimeError, TypeError) as error:
            raise ModelFetchError(f"{self.name} cannot be opened as a pipeline of diffusers: {error}") from error
        made.set_progress_bar_config(disable=True)
        self.pipeline: Any = made.to(device)
        self.accepts = frozenset(signature(made.__call__).parameters)


class PicturePipeline(Pipeline):
    """Text to one picture."""

    def __call__(self, prompt: str, steps: int, guidance: float, seed: int) -> NDArray[np.uint8]:
        """RGB (H, W, 3).

        Raises:
            ConfigError: the pipeline makes no pictures.
        """
        made = self.pipeline(
            prompt=prompt, num_inference_steps=steps, guidance_scale=guidance, output_type="np",
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        if not hasattr(made, "images"):
            raise ConfigError(f"{self.name} is a {type(self.pipeline).__name__}: it makes no pictures")
        picture: NDArray[np.uint8] = np.rint(np.asarray(made.images[0], np.float32).clip(0, 1) * 255).astype(np.uint8)
        return picture


class SoundPipeline(Pipeline):
    """Text to one sound."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        vocoder = getattr(self.pipeline, "vocoder", None)
        rate = self.pipeline.vae.config.sampling_rate if vocoder is None else vocoder.config.sampling_rate
        return int(rate)

    def __call__(self, prompt: str, steps: int, guidance: float, seed: int, seconds: float) -> NDArray[np.float32]:
        """Mono (S,), channels averaged.

        Raises:
            ConfigError: the pipeline makes no sounds.
        """
        length = {"audio_length_in_s", "audio_end_in_s"} & self.accepts
        if not length:
            raise ConfigError(f"{self.name} is a {type(self.pipeline).__name__}: it makes no sounds")
        made = self.pipeline(
            prompt=prompt, num_inference_steps=steps, guidance_scale=guidance, output_type="np",
            generator=torch.Generator().manual_seed(seed), **{length.pop(): seconds},
        )  # fmt: skip
        sound = np.asarray(torch.as_tensor(made.audios[0]).float().cpu(), np.float32)  # (S,) or (channels, S)
        return sound.mean(0) if sound.ndim == 2 else sound


def device_of(device: Device) -> torch.device:
    """Raises:
    ConfigError: unknown, or "cuda" where torch sees none.
    """
    cuda = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not cuda):
        raise ConfigError(f"device is {device!r}, expected 'auto', 'cpu'" + (" or 'cuda'" if cuda else "; no CUDA here"))
    return torch.device("cuda" if cuda and device != "cpu" else "cpu")


def _folder(name: str, *, local_files_only: bool, revision: str | None) -> Path:
    """Where the pipeline lies on this disk; fetched from the hub where it is no folder.

    Raises:
        ModelMissingError: it is not here and cannot, or may not, be fetched.
        ModelFetchError: it is no saved pipeline, or one that wants code of its own.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") != 1:
            raise ModelMissingError(f"there is no folder {name}")
        import diffusers

        try:
            folder = Path(
                diffusers.DiffusionPipeline.download(
                    name, revision=revision, local_files_only=local_files_only, use_safetensors=True
                )
            )
        except Exception as error:  # its own errors, those of its HTTP client and of the disk have no common base
            why = "it was not fetched before and local_files_only is set" if local_files_only else str(error).splitlines()[0]
            raise ModelMissingError(f"{name} is no folder here, and the hub did not give it: {why}") from error
    index = folder / "model_index.json"
    try:
        parts: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
        kind = parts["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFetchError(f"{index} cannot be read as the list of a pipeline's parts: {error}") from error
    if not isinstance(kind, str):
        own = f"{kind[0]}.py" if isinstance(kind, list) and kind else repr(kind)
        raise ModelFetchError(f"{name} wants to run a pipeline of its own ({own}); that is never done")
    return folder
