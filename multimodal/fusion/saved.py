"""Trained fusions on disk: one safetensors file that says what it is, and refuses to be taken for another."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from multimodal.errors import ConfigError, ModelMissingError
from multimodal.fusion.adaptive import AdaptiveFusion
from multimodal.fusion.bilinear import BilinearFusion
from multimodal.fusion.early import EarlyFusion
from multimodal.fusion.hierarchical import HierarchicalFusion
from multimodal.fusion.late import LateFusion

Strategy = EarlyFusion | LateFusion | HierarchicalFusion | BilinearFusion | AdaptiveFusion
STRATEGIES: dict[str, type[Strategy]] = {
    "early": EarlyFusion,
    "late": LateFusion,
    "hierarchical": HierarchicalFusion,
    "bilinear": BilinearFusion,
    "adaptive": AdaptiveFusion,
}
"""By the name that ``fusion_method`` takes."""

FORMAT = "sensorium-fusion-1"


def strategy_name(module: nn.Module) -> str:
    """
    Raises:
        ConfigError: it is none of `STRATEGIES`.
    """
    for name, strategy in STRATEGIES.items():
        if type(module) is strategy:
            return name
    raise ConfigError(f"{type(module).__name__} is no fusion strategy, expected one of {', '.join(STRATEGIES)}")


def described(module: Strategy) -> dict[str, str]:
    """What a file says of its module: strategy, dimensions by name, hidden_dim, options."""
    return {
        "format": FORMAT,
        "strategy": strategy_name(module),
        "modality_dims": json.dumps(module.intake.dims, sort_keys=True),
        "hidden_dim": str(module.intake.hidden_dim),
        "options": json.dumps(module.options, sort_keys=True),
    }


def digest(module: Strategy) -> str:
    """SHA-256 over what the module is and every bit of its weights: equal digests, equal numbers."""
    found = hashlib.sha256(json.dumps(described(module), sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def save_fusion(module: Strategy, path: str | Path, *, about: Mapping[str, str] | None = None) -> None:
    """Write `module` to `path`, whole or not at all.

    Args:
        about: more to say in the file's metadata, such as what it was trained on; no name that `described` has.

    Raises:
        ConfigError: it is none of `STRATEGIES`, or `about` would hide what the file says itself.
    """
    said = described(module)
    if hidden := sorted(set(about or {}) & set(said)):
        raise ConfigError(f"about has {', '.join(hidden)}, which the file says itself")
    tensors = {name: tensor.detach().contiguous() for name, tensor in module.state_dict().items()}
    path = Path(path)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(tensors, metadata={**said, **(about or {})}))
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def load_fusion(
    path: str | Path,
    *,
    strategy: str | None = None,
    modality_dims: Mapping[str, int] | None = None,
    hidden_dim: int | None = None,
) -> Strategy:
    """The module of a file, in the dtype it was saved in, on the CPU and in eval mode.

    Args:
        strategy, modality_dims, hidden_dim: what it has to be; anything where None.

    Raises:
        ModelMissingError: there is no such file.
        ConfigError: it is not a fusion, not the expected one (all differences named), or holds a weight that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelMissingError(f"no trained fusion at {path}; `save_fusion` writes one")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ConfigError(f"{path} is not a safetensors file: {error}") from error
    if said.get("format") != FORMAT or said.get("strategy") not in STRATEGIES:
        raise ConfigError(
            f"{path} is no fusion of this version; its metadata would say format {FORMAT!r} and a strategy"
        )
    dims = json.loads(said["modality_dims"])
    found: dict[str, Any] = {"strategy": said["strategy"], "modality_dims": dims, "hidden_dim": int(said["hidden_dim"])}
    wanted = {"strategy": strategy, "modality_dims": modality_dims, "hidden_dim": hidden_dim}
    wrong = [
        f"{name} is {found[name]!r}, expected {value!r}"
        for name, value in wanted.items()
        if value is not None and found[name] != value
    ]
    if broken := sorted(name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())):
        wrong.append(f"{', '.join(broken)} not finite")
    if wrong:
        raise ConfigError(f"{path}: " + "; ".join(wrong))
    return _built(path, found, json.loads(said["options"]), tensors)


def _built(path: Path, found: Mapping[str, Any], options: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Strategy:
    kind = cast(Any, STRATEGIES[found["strategy"]])
    with torch.random.fork_rng(devices=[]):  # the start values are overwritten; nobody's draws move
        module: Strategy = kind(found["modality_dims"], found["hidden_dim"], **options)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        module.to(dtypes.pop())
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ConfigError(f"{path} lacks weights of its own {found['strategy']} fusion: {error}") from error
    return module.eval()
