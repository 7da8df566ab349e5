"""How a question of one modality is compared with what was indexed of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from multimodal.errors import ConfigError, InputError
from multimodal.retrieval.saving import Reader, Writer
from multimodal.types import ModalityType

if TYPE_CHECKING:
    from multimodal.embeddings import CrossModalProjection

ORTHOGONAL = 1e-3


class Bridge(Protocol):
    """Vectors are float32 (D,) of the modality's own dimension.

    Attributes:
        plain: vectors are compared as they are.
    """

    plain: bool

    def placed(self, modality: ModalityType, vectors: Tensor) -> Tensor:
        """(N, D) as the index of `modality` holds them."""
        ...

    def asked(self, source: ModalityType | None, target: ModalityType, vector: Tensor) -> Tensor:
        """(D,) of `source` as it is compared with what the index of `target` holds."""
        ...

    def write(self, out: Writer) -> None: ...


class SameSpace:
    """Both modalities were encoded into one space: nothing is to be done."""

    plain = True

    def __init__(self, dims: Mapping[ModalityType, int]) -> None:
        self._dims = dict(dims)

    def placed(self, modality: ModalityType, vectors: Tensor) -> Tensor:
        return vectors

    def asked(self, source: ModalityType | None, target: ModalityType, vector: Tensor) -> Tensor:
        if len(vector) != self._dims[target]:
            raise InputError(
                f"a question by {source} has {len(vector)} dimensions and {target} is indexed with {self._dims[target]}: "
                "construct the retriever with projection=, a multimodal.embeddings.CrossModalProjection that was fitted to "
                "pairs, or a semi-orthogonal matrix that brings one space into the other"
            )
        return vector

    def write(self, out: Writer) -> None:
        out.document("bridge", "same space")


class Turned:
    """Spaces that a semi-orthogonal matrix (B, A) turns into one another: cosines within the smaller one are kept.

    Raises:
        ConfigError: another shape, or rows and columns that are both not orthonormal.
    """

    plain = False

    def __init__(self, matrix: Tensor, a: tuple[ModalityType, int], b: tuple[ModalityType, int]) -> None:
        weight = matrix.detach().float().cpu()
        if weight.shape != (b[1], a[1]):
            raise ConfigError(f"projection as a matrix from {a[0]} to {b[0]} is ({b[1]}, {a[1]}), not {tuple(weight.shape)}")
        small = weight @ weight.T if b[1] <= a[1] else weight.T @ weight
        if not torch.allclose(small, torch.eye(len(small)), atol=ORTHOGONAL):
            raise ConfigError(
                "projection as a matrix has orthonormal rows or columns, so that its transpose is the way back; for another "
                "map fit a multimodal.embeddings.CrossModalProjection"
            )
        self._weight, self._a = weight, a[0]

    def placed(self, modality: ModalityType, vectors: Tensor) -> Tensor:
        return vectors

    def asked(self, source: ModalityType | None, target: ModalityType, vector: Tensor) -> Tensor:
        if source == target:
            return vector
        return (self._weight if source == self._a else self._weight.T) @ vector.cpu()

    def write(self, out: Writer) -> None:
        out.document("bridge", "matrix")
        out.arrays("bridge", {"weight": self._weight.numpy()})


class Projected:
    """Spaces between which a projection was learned; all vectors are centred as it was fitted."""

    plain = False

    def __init__(
        self, projection: CrossModalProjection, a: tuple[ModalityType, int], b: tuple[ModalityType, int]
    ) -> None:
        if (projection.dim_a, projection.dim_b) != (a[1], b[1]):
            raise ConfigError(
                f"projection is CrossModalProjection({a[1]}, {b[1]}), from {a[0]} to {b[0]}, not "
                f"({projection.dim_a}, {projection.dim_b})"
            )
        self._projection, self._a = projection.eval(), a[0]

    @torch.no_grad()
    def placed(self, modality: ModalityType, vectors: Tensor) -> Tensor:
        centre = self._projection.centred_a if modality == self._a else self._projection.centred_b
        return centre(self._here(vectors))

    @torch.no_grad()
    def asked(self, source: ModalityType | None, target: ModalityType, vector: Tensor) -> Tensor:
        if source == target:
            return self.placed(target, vector)
        across = self._projection.to_b if source == self._a else self._projection.to_a
        return across(self._here(vector))

    def write(self, out: Writer) -> None:
        from safetensors.torch import save_file

        state = {name: value.contiguous().cpu() for name, value in self._projection.state_dict().items()}
        first = state.get("residual_to_b.0.weight")  # (H, B)
        hidden = 0 if first is None else len(first)
        out.document("bridge", {"hidden_dim": hidden})
        save_file(state, out.file("bridge.safetensors"))

    def _here(self, vectors: Tensor) -> Tensor:
        return vectors.to(self._projection.forwards)


def bridge_of(
    projection: CrossModalProjection | Tensor | None, a: tuple[ModalityType, int], b: tuple[ModalityType, int]
) -> Bridge:
    """Between modality `a` and modality `b`, each with its dimension."""
    if projection is None:
        return SameSpace(dict((a, b)))
    if isinstance(projection, Tensor):
        return Turned(projection, a, b)
    return Projected(projection, a, b)


def read_projection(source: Reader, a: int, b: int) -> CrossModalProjection | Tensor | None:
    """What `bridge_of` was given."""
    said = source.document("bridge")
    if said == "same space":
        return None
    if said == "matrix":
        return torch.from_numpy(source.arrays("bridge")["weight"])
    from safetensors.torch import load_file

    from multimodal.embeddings import CrossModalProjection

    projection = CrossModalProjection(a, b, **said)
    projection.load_state_dict(load_file(source.file("bridge.safetensors")))
    return projection
