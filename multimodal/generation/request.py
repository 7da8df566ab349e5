"""What may be asked of a generator, checked; and the point of the shared space, or the words, that it is asked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.conse import Vocabulary
from multimodal.errors import ConfigError, InputError
from multimodal.generation.net import CONDITION
from multimodal.types import ModalityEmbedding

_NAMES = 3  # of classes, for a prompt


class Encoder(Protocol):
    """One input -> its `ModalityEmbedding`."""

    def __call__(self, item: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Request:
    """`count` results with the seeds ``seed``, ``seed + 1``, ...: each depends on its own seed alone.

    Raises:
        ConfigError: a value that cannot be meant.
    """

    steps: int
    guidance: float
    seed: int
    count: int

    def __post_init__(self) -> None:
        for name, lowest in (("steps", 1), ("count", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {lowest}")
        if self.seed + self.count > 2**64:
            raise ConfigError(f"seed is {self.seed}, expected a whole number below 2**64, and so for each of {self.count}")
        if not isinstance(self.guidance, (int, float)) or not 0 <= self.guidance <= 100:
            raise ConfigError(f"guidance is {self.guidance!r}, expected a number from 0 to 100; 1 is none")

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.count)


def is_vector(source: Any) -> bool:
    """A point of the shared space, and not a picture."""
    return isinstance(source, (np.ndarray, Tensor)) and source.ndim == 1


def point(source: Any, encode: Callable[[Any], ModalityEmbedding]) -> Tensor:
    """Unit vector (384,), float32, on the CPU: of an embedding as it is, of anything else as `encode` places it.

    Raises:
        InputError: no embedding of the shared space, one that says nothing, or what `encode` refuses.
    """
    found = source if isinstance(source, ModalityEmbedding) or is_vector(source) else encode(source)
    if isinstance(found, ModalityEmbedding):
        if found.error is not None:
            raise InputError(f"nothing can be made of an input that could not be read: {found.error}")
        found = found.embedding
    vector = torch.as_tensor(found).detach().float().cpu()
    if vector.shape != (CONDITION,):
        raise InputError(f"an embedding of the shared space is ({CONDITION},), not {tuple(vector.shape)}")
    if not bool(vector.isfinite().all()) or not bool(vector.any()):
        raise InputError("the embedding says nothing: it is zero or not finite")
    return F.normalize(vector, dim=0)


def words(source: Any, encode: Callable[[Any], ModalityEmbedding], vocabulary: Callable[[], Vocabulary]) -> str:
    """A prompt: a text as it is, of anything else the names that are nearest to it, the likeliest first.

    Raises:
        InputError: as `point`; an empty text.
    """
    if isinstance(source, str):
        if not source.strip():
            raise InputError("the text is empty")
        return source.strip()
    if not isinstance(source, ModalityEmbedding) and not is_vector(source):
        source = encode(source)
    if isinstance(source, ModalityEmbedding) and source.error is None and source.metadata.get("labels"):
        return ", ".join(name for name, _ in source.metadata["labels"][:_NAMES])
    return ", ".join(name for name, _ in vocabulary().nearest(point(source, encode), _NAMES))
