"""Masked-modality prediction: what is left of a moment when one modality is hidden has to find the hidden one.

Shapes: B moments of a batch, C candidates, M modalities, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.utils.checkpoint import checkpoint

from multimodal.training.moments import Moments

TEMPERATURE = 0.05
WHOLE = 0.25
"""Share of the questions from which nothing is hidden: a moment's fused vector has to be found by each of its parts, too."""

SLICE = 64
"""Moments whose activations are held at once under gradient checkpointing."""


def fused(
    module: nn.Module,
    moments: Moments,
    rows: Tensor,
    asked: Tensor,
    *,
    noise: Tensor | None = None,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """What the learned fusion makes of the modalities `asked` (B, M) of the moments `rows` (B,): unit vectors (B, D).

    The training-free mean plus the module's residual, as `LearnedFusion` does it. `noise` (B, M, D) is added to the vectors
    that the module sees.

    With `gradient_checkpointing` a slice of the batch keeps its inputs only and is computed a second time on the way back
    (Chen et al., arXiv:1604.06174): the memory for activations is that of one slice, the results are the same bits.
    """
    seen, mean = moments.asking(rows, asked)  # (B, M, D), (B, D)
    if noise is not None:
        seen = F.normalize(seen + noise, dim=-1)
    quality = moments.quality[rows] * asked  # (B, M)

    def part(vectors: Tensor, worth: Tensor) -> Tensor:
        features = dict(zip(moments.modalities, vectors.unbind(1), strict=True))  # M of (b, D)
        _, metadata = module(features, quality=dict(zip(moments.modalities, worth.unbind(1), strict=True)))
        residual: Tensor = metadata["residual"]
        return residual

    residuals: list[Any] = [
        checkpoint(part, *those, use_reentrant=False) if gradient_checkpointing else part(*those)
        for those in zip(torch.split(seen, SLICE), torch.split(quality, SLICE), strict=True)
    ]
    return F.normalize(mean + torch.cat(residuals), dim=1)


def loss(
    module: nn.Module,
    moments: Moments,
    rows: Tensor,
    candidates: Tensor,
    *,
    dice: torch.Generator | None = None,
    noise: float = 0.0,
    temperature: float = TEMPERATURE,
    gradient_checkpointing: bool = False,
) -> Tensor:
    """Mean over the modalities of how badly a hidden one is found among that modality of all `candidates` (C,).

    The vectors that are searched stay what the encoders gave. What shares time with the right moment is right as well
    (MIL-NCE, Miech et al., arXiv:1912.06430): -log(sum over the right / sum over all), exp(cosine / temperature) each.

    Args:
        dice: draws which of the other modalities ask, and from `WHOLE` of the questions hides nothing; where None, all the
            others ask and the hidden one is hidden.
        noise: length of what `dice` adds to each asking vector before the module sees it.
    """
    terms = []
    for asked, hidden, own in _questions(moments, rows, dice):
        there = candidates[moments.present[candidates, hidden]]
        drawn = None
        if noise > 0 and dice is not None:
            shape = (len(own), len(moments.modalities), moments.mean.shape[-1])
            drawn = (torch.randn(shape, generator=dice) * (noise / shape[-1] ** 0.5)).to(moments.mean)
        query = fused(module, moments, own, asked, noise=drawn, gradient_checkpointing=gradient_checkpointing)
        scores = query @ moments.alone(there, hidden).T / temperature  # (B, C)
        right = moments.together(own, there)
        terms.append((scores.logsumexp(1) - scores.masked_fill(~right, -torch.inf).logsumexp(1)).mean())
    if not terms:
        return next(module.parameters()).sum() * 0  # no moment here has two modalities
    return torch.stack(terms).mean()


def _questions(
    moments: Moments, rows: Tensor, dice: torch.Generator | None
) -> Iterator[tuple[Tensor, int, Tensor]]:
    """For each modality: which modalities ask (B, M), the hidden one, and the moments (B,) that have it and another."""
    for hidden in range(len(moments.modalities)):
        present = moments.present[rows]
        others = present.clone()
        others[:, hidden] = False
        there = present[:, hidden] & others.any(1)
        own, others, present = rows[there], others[there], present[there]
        if not len(own):
            continue
        if dice is None:
            yield others, hidden, own
            continue
        luck = torch.rand((*others.shape, 2), generator=dice)
        luck, whole = luck[..., 0].to(rows.device), luck[:, 0, 1].to(rows.device) < WHOLE
        luck = luck.masked_fill(~others, -1)
        some = others & ((luck > 0.5) | (luck == luck.amax(1, keepdim=True)))  # at least one
        yield torch.where(whole[:, None], present, some), hidden, own
