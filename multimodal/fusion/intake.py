"""What every strategy does first: who is there, how good is it, all in one width, and their plain mean.

Shapes: B batch, M modalities (sorted by name), T tokens, D numbers of a modality, H hidden_dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusion import checks


@dataclass(slots=True, eq=False)
class Taken:
    """One batch, understood.

    Attributes:
        names: of the modalities, sorted; the order of every M below.
        vectors: (B, M, H) projected, tokens pooled by their masked mean; zeros where absent.
        quality: (B, M) in [0, 1], at least float32; 0 is absent: masked, dropped, all padding, or of no quality.
        shares: (B, M) quality over its sum, zeros where all are absent.
        mean: (B, H) the quality-weighted mean of `vectors`.
        tokens: (B, T, D) by name, where tokens were given; zeros where ignored.
        ignore: (B, T) by name, True = ignore; of the same names as `tokens`.
    """

    names: tuple[str, ...]
    vectors: Tensor
    quality: Tensor
    shares: Tensor
    mean: Tensor
    tokens: dict[str, Tensor]
    ignore: dict[str, Tensor]


class Intake(nn.Module):
    """Checks, masks, pools, drops and projects.

    A modality whose dimension is `hidden_dim` enters as it is. Another enters through a learnable linear map that starts
    semi-orthogonal: into more dimensions it keeps every inner product, into fewer it is a projection. The start is a
    function of the two dimensions alone, so two modalities of one space stay in one space.

    Args:
        modality_dims: dimension of each modality by name.
        modality_dropout: in training, each present modality of each sample is made absent with this probability, but
            never the last one.
    """

    def __init__(self, modality_dims: Mapping[str, int], hidden_dim: int, *, modality_dropout: float = 0.0) -> None:
        super().__init__()
        self.dims = checks.checked_dims(modality_dims, hidden_dim)
        self.names = tuple(self.dims)
        self.hidden_dim = hidden_dim
        self.modality_dropout = checks.checked_share("modality_dropout", modality_dropout)
        self.projections = nn.ModuleDict({name: _projection(dim, hidden_dim) for name, dim in self.dims.items()})
        self.register_buffer("_kind", torch.empty(0), persistent=False)  # follows the module's dtype and device
        self._kind: Tensor

    def forward(
        self,
        features: Mapping[str, Tensor | None],
        *,
        mask: Mapping[str, Any] | None = None,
        quality: Mapping[str, Any] | None = None,
        padding: Mapping[str, Tensor] | None = None,
    ) -> Taken:
        """
        Args:
            features: by name (B, D), or tokens (B, T, D), or (D,) for a batch of one; a key that is left out, or None, is a
                modality that the whole batch lacks. They are taken in the module's dtype.
            mask: by name (B,) bool, True = absent. What is absent cannot reach the result, not as NaN either.
            quality: by name (B,) in [0, 1]; 1 where not given. 0 is absent, so all at 0 gives zeros.
            padding: by name (B, T) bool, True = ignore this token. All ignored = absent.

        Raises:
            InputError: a wrong name, shape, kind or quality, and what would be right.
        """
        given, batch = checks.checked_features(features, self.dims)
        for what, named in (("mask", mask), ("quality", quality), ("padding", padding)):
            checks.checked_names(what, named or {}, self.names)
        device = next(iter(given.values())).device
        dtype, exact = self._kind.dtype, torch.promote_types(self._kind.dtype, torch.float32)
        mask, quality, padding = mask or {}, quality or {}, padding or {}
        tokens, ignore, rows, weights = {}, {}, [], []
        for name in self.names:
            x = given.get(name)
            if x is None:
                rows.append(torch.zeros(batch, self.hidden_dim, dtype=dtype, device=device))
                weights.append(torch.zeros(batch, dtype=exact, device=device))
                continue
            absent = torch.zeros(batch, dtype=torch.bool, device=device)
            if name in mask:
                absent = checks.per_sample("mask", name, mask[name], batch, device, boolean=True)
            unseen = None
            if x.ndim == 3:
                unseen = absent[:, None].expand(x.shape[:2])  # (B,) -> (B, T)
                if name in padding:
                    unseen = unseen | checks.checked_padding(name, padding[name], x)
                    absent = unseen.all(1)
            elif name in padding:
                checks.checked_padding(name, padding[name], x)
            weight = torch.ones(batch, dtype=exact, device=device)
            if name in quality:
                weight = checks.per_sample("quality", name, quality[name], batch, device, boolean=False)
            weights.append(weight.to(exact).masked_fill(absent, 0))
            x = x.to(dtype)
            if unseen is not None:
                tokens[name], ignore[name] = x.masked_fill(unseen[..., None], 0), unseen
                count = (~unseen).sum(1, keepdim=True).clamp_min(1)  # (B, 1)
                x = tokens[name].sum(1, dtype=weights[-1].dtype) / count  # (B, T, D) -> (B, D)
            rows.append(self.projections[name](x.masked_fill(absent[:, None], 0).to(dtype)).to(dtype))
        worth = torch.stack(weights, 1)  # M of (B,) -> (B, M)
        checks.checked_quality(worth)
        worth = self._drop(worth)
        vectors = torch.stack(rows, 1).masked_fill((worth == 0)[..., None], 0)  # M of (B, H) -> (B, M, H)
        shares = shares_of(worth)
        return Taken(self.names, vectors, worth, shares, weighted_sum(shares, vectors), tokens, ignore)

    def _drop(self, quality: Tensor) -> Tensor:
        """Modality dropout: (B, M) with some of the present set to 0, never all of a sample."""
        if not self.training or self.modality_dropout == 0:
            return quality
        luck = torch.rand(quality.shape, device=quality.device).masked_fill(quality == 0, -1)
        dropped = (luck < self.modality_dropout) & (luck < luck.amax(1, keepdim=True))
        return quality.masked_fill(dropped, 0)


def shares_of(quality: Tensor) -> Tensor:
    """(B, M) quality over its sum; zeros where that is 0."""
    total = quality.sum(1, keepdim=True)
    return quality / total.masked_fill(total == 0, 1)


def weighted_sum(shares: Tensor, vectors: Tensor) -> Tensor:
    """(B, M) and (B, M, H) -> (B, H), in the precision of `vectors`."""
    return (shares[..., None].to(vectors.dtype) * vectors).sum(1)


def _projection(dim: int, hidden_dim: int) -> nn.Module:
    if dim == hidden_dim:
        return nn.Identity()
    layer = nn.Linear(dim, hidden_dim, bias=False)
    draw = torch.randn(max(dim, hidden_dim), min(dim, hidden_dim), generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(draw.double())[0].float()  # orthonormal columns
    with torch.no_grad():
        layer.weight.copy_(basis if hidden_dim > dim else basis.T)  # (H, D)
    return layer
