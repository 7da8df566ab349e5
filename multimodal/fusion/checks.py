"""What a fusion refuses, with the name of what was wrong and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.errors import ConfigError, InputError


def checked_dims(modality_dims: Mapping[str, int], hidden_dim: int) -> dict[str, int]:
    """`modality_dims` sorted by name, so that no result depends on the order in which it was written.

    Raises:
        ConfigError: names every name and dimension that cannot be used.
    """
    wrong = [] if _positive(hidden_dim) else [f"hidden_dim is {hidden_dim!r}, expected a whole number above 0"]
    if not isinstance(modality_dims, Mapping) or not modality_dims:
        wrong.append(f"modality_dims is {modality_dims!r}, expected names and dimensions like {{'text': 256}}")
        raise ConfigError("; ".join(wrong))
    taken = nn.ModuleDict()
    for name, dim in modality_dims.items():
        if not isinstance(name, str) or not name or "." in name or hasattr(taken, name):
            wrong.append(
                f"modality_dims has the name {name!r}, expected a word like 'text', no dots, no name of torch's own"
            )
        if not _positive(dim):
            wrong.append(f"modality_dims[{name!r}] is {dim!r}, expected a whole number above 0")
    if wrong:
        raise ConfigError("; ".join(wrong))
    return dict(sorted(modality_dims.items()))


def checked_share(name: str, value: float) -> float:
    """A probability below 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}, expected a number from 0 up to, not including, 1")
    return float(value)


def checked_count(name: str, value: int, *, highest: int | None = None) -> int:
    """A whole number from 1 to `highest`."""
    if not _positive(value) or (highest is not None and value > highest):
        allowed = "above 0" if highest is None else f"from 1 to {highest}"
        raise ConfigError(f"{name} is {value!r}, expected a whole number {allowed}")
    return value


def checked_names(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """
    Raises:
        InputError: a name that is not known, with the nearest one.
    """
    for name in names:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{what} has {name!r}, this fusion knows {', '.join(known)}{hint}")


def checked_features(features: Mapping[str, Tensor | None], dims: Mapping[str, int]) -> tuple[dict[str, Tensor], int]:
    """The given modalities, (D,) made (1, D), and the batch size.

    Raises:
        InputError: a wrong name, kind, shape or batch size, or nothing at all.
    """
    checked_names("features", features, list(dims))
    given: dict[str, Tensor] = {}
    batch, first = 0, ""
    for name in dims:
        x = features.get(name)
        if x is None:
            continue
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"features[{name!r}] is {kind}, expected a floating-point tensor")
        if x.ndim not in (1, 2, 3):
            raise InputError(f"features[{name!r}] has the shape {tuple(x.shape)}, expected (B, D), (B, T, D) or (D,)")
        if x.shape[-1] != dims[name]:
            raise InputError(f"features[{name!r}] has {x.shape[-1]} numbers in a row, expected {dims[name]}")
        if x.ndim == 3 and x.shape[1] == 0:
            raise InputError(f"features[{name!r}] has no tokens; leave the key out, or mask it")
        given[name] = x[None] if x.ndim == 1 else x  # (D,) -> (1, D)
        if first and given[name].shape[0] != batch:
            raise InputError(f"features[{name!r}] has {given[name].shape[0]} samples, features[{first!r}] has {batch}")
        batch, first = given[name].shape[0], first or name
    if not given:
        raise InputError(f"features is empty, expected at least one of {', '.join(dims)}")
    return given, batch


def per_sample(what: str, name: str, value: Any, batch: int, device: torch.device, *, boolean: bool) -> Tensor:
    """`value` of one modality as (B,); one value stands for the whole batch.

    Raises:
        InputError: a wrong kind or shape.
    """
    tensor = torch.as_tensor(value, device=device)
    if (tensor.dtype == torch.bool) != boolean or tensor.is_complex():
        expected = "bool, True = absent" if boolean else "numbers in [0, 1]"
        raise InputError(f"{what}[{name!r}] is {tensor.dtype}, expected {expected}")
    if tensor.ndim > 1 or (tensor.ndim == 1 and tensor.shape[0] not in (1, batch)):
        raise InputError(f"{what}[{name!r}] has the shape {tuple(tensor.shape)}, expected ({batch},)")
    return tensor.expand(batch)


def checked_padding(name: str, padding: Tensor, tokens: Tensor) -> Tensor:
    """(B, T) bool, True = ignore.

    Raises:
        InputError: it is not that, or `tokens` are none.
    """
    if tokens.ndim != 3:
        raise InputError(f"padding[{name!r}] is given, features[{name!r}] has no tokens: {tuple(tokens.shape)}")
    if not isinstance(padding, Tensor) or padding.dtype != torch.bool or padding.shape != tokens.shape[:2]:
        got = f"{padding.dtype} {tuple(padding.shape)}" if isinstance(padding, Tensor) else type(padding).__name__
        raise InputError(f"padding[{name!r}] is {got}, expected bool {tuple(tokens.shape[:2])}, True = ignore")
    return padding.to(tokens.device)


def checked_quality(quality: Tensor) -> None:
    """
    Raises:
        InputError: a quality of something that is there lies outside [0, 1] (or is NaN).
    """
    if not torch.compiler.is_compiling() and not bool(((quality >= 0) & (quality <= 1)).all()):
        raise InputError("quality has values outside [0, 1]; 0 is not to be used at all, 1 is perfect")


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
