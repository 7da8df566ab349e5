"""The state of a training in one file that is there complete or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

FILE = "checkpoint.safetensors"


def write(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Beside, then in place of the old one: a process that is killed leaves the one or the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(contiguous, metadata={"training": json.dumps(document, sort_keys=True)})
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What was written; None where there is nothing."""
    if not path.is_file():
        return None
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        document: dict[str, Any] = json.loads(file.metadata()["training"])
    return tensors, document


def of_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its moments, by number of the parameter; the settings are no part of it."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, part in state.items() for name, value in part.items()}


def into_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def of_module(module: nn.Module) -> dict[str, Tensor]:
    """A copy of its state."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
