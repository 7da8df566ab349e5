"""What was indexed, as JSON and tensors: words, numbers, bytes, paths, arrays, tensors, and lists and mappings of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal.errors import InputError

TAG = "_is"
"""Key of a mapping that stands for something JSON has no form for."""


def encoded(value: Any, arrays: dict[str, NDArray[Any]], tensors: dict[str, Tensor], where: str) -> Any:
    """`value` as JSON holds it; its arrays and tensors go into `arrays` and `tensors`.

    A scalar of numpy becomes a number, an enum what it stands for.

    Raises:
        InputError: something else is in it; `where` says of what.
    """
    def inner(part: Any) -> Any:
        return encoded(part, arrays, tensors, where)

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    found: Any = None
    if isinstance(value, bytes):
        found = {TAG: "bytes", "value": base64.b64encode(value).decode("ascii")}
    elif isinstance(value, PurePath):
        found = {TAG: "path", "value": str(value)}
    elif isinstance(value, tuple):
        found = {TAG: "tuple", "value": [inner(part) for part in value]}
    elif isinstance(value, list):
        found = [inner(part) for part in value]
    elif isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        plain = {key: inner(part) for key, part in value.items()}
        found = {TAG: "mapping", "value": plain} if TAG in plain else plain
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.isnative:
        arrays[f"{len(arrays)}"] = value
        found = {TAG: "array", "value": f"{len(arrays) - 1}"}
    elif isinstance(value, Tensor):
        tensors[f"{len(tensors)}"] = value.detach().cpu().contiguous().clone()
        found = {TAG: "tensor", "value": f"{len(tensors) - 1}"}
    if found is None:
        raise InputError(
            f"{where} holds a {type(value).__name__}, which cannot be saved: words, numbers, bytes, paths, arrays and "
            "tensors of numbers, and lists, tuples and mappings of those by name can; keep a path or a name in its place"
        )
    return found


def decoded(value: Any, arrays: Mapping[str, NDArray[Any]], tensors: Mapping[str, Tensor]) -> Any:
    """The value again; tensors lie on the CPU."""
    if isinstance(value, list):
        return [decoded(part, arrays, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: decoded(part, arrays, tensors) for key, part in value.items()}
    kind, inside = value[TAG], value["value"]
    readers: dict[str, Any] = {
        "bytes": base64.b64decode,
        "path": Path,
        "tuple": lambda parts: tuple(decoded(part, arrays, tensors) for part in parts),
        "mapping": lambda parts: {key: decoded(part, arrays, tensors) for key, part in parts.items()},
        "array": arrays.__getitem__,
        "tensor": tensors.__getitem__,
    }
    return readers[kind](inside)

