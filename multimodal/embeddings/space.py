"""One space for all modalities: shown in other dimensions, and other spaces brought into it, without losing a cosine.

Letters: N rows, D dimensions of the space, S dimensions it is shown in, E dimensions of another space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings import measures
from multimodal.errors import ConfigError, InputError, NotReadyError
from multimodal.types import ModalityEmbedding, ModalityType

Method = Literal["procrustes", "ridge"]


class SharedEmbeddingSpace(nn.Module):
    """The shared space of `dim`, shown in `shown_dim`, and the maps of other spaces into it.

    - Shown wider, every inner product, cosine and distance stays as it is: the map has orthonormal columns.
    - Shown in fewer dimensions they are approximate: the map has orthonormal rows, and what it lost of the length is given
      back. Over random maps a cosine is off by about 1/sqrt(S) (Johnson and Lindenstrauss, 1984); `fit_shown` chooses the map
      that keeps the most for given vectors.
    - Another space is brought in by `align` on rows that mean the same, then `encode(vectors, space="clip")`.

    The map is a function of (dim, shown_dim, seed) alone, the same bits on every machine. All state is in buffers.

    Args:
        dim: D. shown_dim: S; D where None, and then nothing is turned.
        seed: of the map.
        spaces: names and dimensions of the other spaces that may be aligned.

    Raises:
        ConfigError: dimensions that are no whole numbers above 0.
    """

    weight: Tensor
    means: Tensor

    def __init__(
        self,
        dim: int = 384,
        shown_dim: int | None = None,
        *,
        seed: int = 0,
        spaces: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.shown_dim = _whole("dim", dim), _whole("shown_dim", dim if shown_dim is None else shown_dim)
        self.register_buffer("weight", orthogonal_map(self.dim, self.shown_dim, seed=seed))  # (S, D)
        self.register_buffer("means", torch.zeros(len(ModalityType), self.dim))
        self.spaces = nn.ModuleDict(
            {name: SpaceMap(_whole(f"spaces[{name!r}]", size), self.dim) for name, size in (spaces or {}).items()}
        )

    def encode(
        self, vectors: Tensor | ModalityEmbedding | Sequence[ModalityEmbedding], *, space: str | None = None
    ) -> Tensor:
        """(D,) or (N, D), an embedding or a list of them -> as shown, (S,) or (N, S), in the dtype it came in.

        Lengths are kept; a unit vector stays one. With `space`, the vectors are of that space, (E,) or (N, E), and come out
        at unit length.

        Raises:
            InputError: other dimensions, or a space that is not known.
            NotReadyError: the space was not aligned yet.
        """
        x = _tensor(vectors)
        if space is not None:
            x = self._map(space)(x)  # (..., E) -> (..., D)
        if x.shape[-1] != self.dim:
            raise InputError(f"vectors of this space have {self.dim} dimensions, not {x.shape[-1]}")
        if self.shown_dim == self.dim:
            return x
        shown = mapped(x, self.weight)  # (..., D) -> (..., S)
        if self.shown_dim < self.dim:
            shown = unit(shown) * x.norm(dim=-1, keepdim=True)
        return shown

    def decode(self, shown: Tensor) -> Tensor:
        """(..., S) -> (..., D): the inverse where S >= D, else the nearest vector of the plane that is kept."""
        if shown.shape[-1] != self.shown_dim:
            raise InputError(f"what this space shows has {self.shown_dim} dimensions, not {shown.shape[-1]}")
        return mapped(shown, self.weight.T)  # (..., S) -> (..., D)

    @torch.no_grad()
    def fit_shown(self, vectors: Tensor) -> float:
        """For S < D: show the S directions that keep the most of these vectors' inner products; the share that is kept.

        The principal axes without centring: by Eckart and Young (1936) no other map of rank S keeps the (N, N) inner products
        of (N, D) as well in the least squares.
        """
        if self.shown_dim >= self.dim:
            raise ConfigError(f"{self.dim} dimensions shown in {self.shown_dim} lose nothing: there is nothing to fit")
        x = _tensor(vectors)
        if x.ndim != 2 or len(x) < self.shown_dim or x.shape[1] != self.dim:
            raise InputError(f"vectors are (N, {self.dim}) with N at least {self.shown_dim}, not {tuple(x.shape)}")
        values, axes = torch.linalg.eigh(x.double().T @ x.double())  # ascending
        kept = axes[:, -self.shown_dim :].flip(1).T  # (S, D)
        signs = kept.gather(1, kept.abs().argmax(1, keepdim=True)).sign()  # an axis has no sign of its own
        self.weight.copy_(kept * signs)
        return float(values[-self.shown_dim :].sum() / values.sum())

    @torch.no_grad()
    def align(
        self,
        space: str,
        theirs: Tensor,
        ours: Tensor,
        *,
        method: Method = "procrustes",
        ridge: float = 0.01,
    ) -> dict[str, float]:
        """Learn where another space lies in this one, from (N, E) and (N, D) whose rows mean the same.

        Both are centred first, so that the gap between them is no part of what is learned. "procrustes" turns without
        stretching (`procrustes`), "ridge" is a linear map, for spaces of other proportions and many rows (`ridge_map`).

        Returns:
            what the map reaches on these rows themselves: ``cka`` (before any map; from 4 rows on) and what `measure`
            tells. Measure rows that were held out by `measure`.

        Raises:
            InputError: shapes that do not fit, or a space that was not named to the constructor.
        """
        x, y = _tensor(theirs), _tensor(ours)
        target = self._known(space)
        if x.ndim != 2 or x.shape[1] != target.dim or y.shape != (len(x), self.dim) or len(x) < 2:
            raise InputError(
                f"aligning {space!r} takes paired rows (N, {target.dim}) and (N, {self.dim}), N at least 2, "
                f"not {tuple(x.shape)} and {tuple(y.shape)}"
            )
        target.fit(x, y, method=method, ridge=ridge)
        return self.measure(target(x), y) | ({"cka": measures.cka(x, y)} if len(x) >= 4 else {})

    @torch.no_grad()
    def centre(self, modality: ModalityType | str, vectors: Tensor) -> None:
        """Remember the mean of typical unit vectors (N, D) of a modality, for `centred`."""
        x = _tensor(vectors)
        if x.ndim != 2 or not len(x) or x.shape[1] != self.dim:
            raise InputError(f"vectors are (N, {self.dim}), not {tuple(x.shape)}")
        self.means[_place(modality)] = F.normalize(x.double(), dim=1).mean(0).to(self.means)

    def centred(self, modality: ModalityType | str, vectors: Tensor | ModalityEmbedding) -> Tensor:
        """(..., D) -> (..., D) unit vectors without the mean of their modality.

        Cosines of different pairs of modalities may be summed only after this: each modality keeps to a cone of its own
        (Liang et al., arXiv:2203.02053), and its offset would outweigh what the vectors say. A modality that was never
        centred is only brought to unit length.
        """
        x = unit(_tensor(vectors))
        return unit(x - self.means[_place(modality)].to(x.dtype))

    @staticmethod
    def measure(a: Tensor, b: Tensor) -> dict[str, float]:
        """How well two sets (N, D) of paired rows agree: ``alignment``, ``uniformity`` of all, ``modality gap``, recalls."""
        found = {"alignment": measures.alignment(a, b), "modality gap": measures.modality_gap(a, b)}
        found["uniformity"] = measures.uniformity(torch.cat([a, b.to(a.dtype)]))
        return found | measures.recall(a, b)

    def _known(self, space: str) -> SpaceMap:
        if space not in self.spaces:
            raise InputError(f"the space {space!r} is not known; known: {', '.join(self.spaces) or 'none'} (see `spaces`)")
        return cast(SpaceMap, self.spaces[space])

    def _map(self, space: str) -> SpaceMap:
        found = self._known(space)
        if not bool(found.fitted):
            raise NotReadyError(f"the space {space!r} was not aligned yet: call align() with rows that mean the same")
        return found


class SpaceMap(nn.Module):
    """A linear map from another space (E) into a space (D): centre, map, unit length. Fitted in closed form."""

    weight: Tensor
    mean: Tensor
    offset: Tensor
    fitted: Tensor

    def __init__(self, dim: int, into: int) -> None:
        super().__init__()
        self.dim, self.into = dim, into
        self.register_buffer("weight", torch.zeros(into, dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("offset", torch.zeros(into))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """(..., E) -> (..., D) unit vectors."""
        if x.shape[-1] != self.dim:
            raise InputError(f"vectors of that space have {self.dim} dimensions, not {x.shape[-1]}")
        x = unit(x) - self.mean.to(x.dtype)
        return unit(mapped(x, self.weight) + self.offset.to(x.dtype))

    @torch.no_grad()
    def fit(self, theirs: Tensor, ours: Tensor, *, method: Method = "procrustes", ridge: float = 0.01) -> None:
        """From paired rows (N, E) and (N, D)."""
        x, y = (F.normalize(v.double(), dim=1) for v in (theirs, ours))
        mean, offset = x.mean(0), y.mean(0)
        if method == "procrustes":
            weight, scale = procrustes(x - mean, y - offset)
            weight = weight * scale
        elif method == "ridge":
            weight = ridge_map(x - mean, y - offset, ridge=ridge)
        else:
            raise ConfigError(f"method is {method!r}, expected 'procrustes' or 'ridge'")
        for own, value in ((self.weight, weight), (self.mean, mean), (self.offset, offset)):
            own.copy_(value)
        self.fitted.fill_(True)


def unit(x: Tensor) -> Tensor:
    """(..., D) at unit length. Zeros stay zeros, in float16 too, where torch's own lower bound of a length, 1e-12, is 0."""
    return F.normalize(x, dim=-1, eps=max(1e-12, torch.finfo(x.dtype).tiny))


def mapped(x: Tensor, weight: Tensor) -> Tensor:
    """(..., D) -> (..., S) by (S, D), in the dtype of `x`: autocast would cost the cosines digits."""
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x, weight.to(x.dtype))


def procrustes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The semi-orthogonal W (D, E) with the least |x W^T s - y|, and its scale s (Schönemann, 1966).

    x (N, E), y (N, D), rows paired. W keeps inner products where E <= D (W^T W = 1), else drops what no row of y answers.
    """
    u, values, v = torch.linalg.svd(y.T @ x, full_matrices=False)  # (D, K), (K,), (K, E), K = min(D, E)
    weight = u @ v
    return weight, values.sum() / (x @ weight.T).square().sum().clamp(min=1e-12)


def ridge_map(x: Tensor, y: Tensor, *, ridge: float = 0.01) -> Tensor:
    """The W (D, E) with the least |x W^T - y|^2 + ridge |x|^2/E |W|^2.

    In expectation that is the least-squares map for x with Gaussian noise of `ridge` times its power added to every row
    (Bishop, Neural Computation 7, 1995).
    """
    gram = x.T @ x  # (E, E)
    power = gram.diagonal().mean() * ridge
    gram.diagonal().add_(power.clamp(min=1e-12))
    solved: Tensor = torch.linalg.solve(gram, x.T @ y)  # (E, D)
    return solved.T


@lru_cache(maxsize=32)
def _orthonormal(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    """rows >= columns -> (rows, columns) with orthonormal columns, nearly uniform over all of them.

    Gram and Schmidt in single IEEE operations and sums in one fixed order, from the integers of a counter-based generator
    whose stream numpy promises for ever: no library for linear algebra may reorder a sum, so all machines get the same bits.
    """
    raw = np.random.Philox(seed).random_raw(rows * columns)
    pieces = raw.view(np.uint16).reshape(rows * columns, 4)  # four numbers of 16 bits
    drawn = pieces.astype(np.int64).sum(1).reshape(columns, rows)  # their sum is nearly Gaussian
    basis = (drawn - 2 * 65_535).astype(np.float64)
    for number in range(columns):
        basis[number] /= np.sqrt(_sum(basis[number] * basis[number]))
        rest = basis[number + 1 :]
        rest -= _sum(rest * basis[number])[:, None] * basis[number]
    return np.ascontiguousarray(basis.T, dtype=np.float32)


def _sum(terms: NDArray[np.float64]) -> Any:
    """Over the last axis, halves added to halves: one order on every machine."""
    while (size := terms.shape[-1]) > 1:
        half = size // 2
        folded = terms[..., :half] + terms[..., half : 2 * half]
        if size % 2:
            folded[..., 0] += terms[..., -1]
        terms = folded
    return terms[..., 0]


def orthogonal_map(dim: int, shown_dim: int, *, seed: int = 0) -> Tensor:
    """float32 (S, D): orthonormal columns where S > D, orthonormal rows where S < D, the identity where they are equal."""
    if dim == shown_dim:
        return torch.eye(dim)
    tall = torch.from_numpy(_orthonormal(max(dim, shown_dim), min(dim, shown_dim), seed).copy())
    return tall if shown_dim > dim else tall.T.contiguous()


def _tensor(vectors: Tensor | ModalityEmbedding | Sequence[ModalityEmbedding]) -> Tensor:
    if isinstance(vectors, ModalityEmbedding):
        vectors = vectors.embedding
    elif not isinstance(vectors, Tensor):
        vectors = torch.stack([entry.embedding for entry in vectors])
    if vectors.ndim not in (1, 2) or not vectors.is_floating_point():
        raise InputError(f"vectors are floating point, (D,) or (N, D), not {vectors.dtype} {tuple(vectors.shape)}")
    return vectors


def _place(modality: ModalityType | str) -> int:
    try:
        return list(ModalityType).index(ModalityType(modality))
    except ValueError:
        raise InputError(f"modality is {modality!r}, expected one of {', '.join(ModalityType)}") from None


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}, expected a whole number above 0")
    return value
