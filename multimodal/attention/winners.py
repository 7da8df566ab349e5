"""k winners take all: which keys a query keeps, exactly as many as were asked for, also where scores are equal.

Shapes: ... any leading dimensions, Tk keys.

Of equal scores at the border the keys that come first win.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import overload

import torch
from torch import Tensor

FINEST = 1_000_000
"""A ratio is read as the nearest fraction of at most this denominator, so 0.7 means seven tenths and 1/3 a third."""


@overload
def survivors(valid: int, sparse_ratio: float) -> int: ...
@overload
def survivors(valid: Tensor, sparse_ratio: float) -> Tensor: ...
def survivors(valid: int | Tensor, sparse_ratio: float) -> int | Tensor:
    """max(1, ceil((1 - sparse_ratio) * valid)), and 0 of 0. In integers: of 10 at 0.7 it is 3, in floats it would be 4."""
    kept = 1 - Fraction(float(sparse_ratio)).limit_denominator(FINEST)
    if isinstance(valid, int):
        return max(min(1, valid), -(-valid * kept.numerator // kept.denominator))
    count = (valid * kept.numerator + (kept.denominator - 1)) // kept.denominator
    return torch.maximum(count, valid.clamp(max=1))


def winners(scores: Tensor, sparse_ratio: float, *, ignore: Tensor | None = None) -> Tensor:
    """bool (..., Tk): True for the `survivors` of each row, counted over the keys it may see. No gradient passes.

    Args:
        scores: (..., Tk), finite where not ignored.
        ignore: bool, True = not to be seen; broadcastable to `scores`. A row that sees nothing has no winner.
    """
    keys = scores.shape[-1]
    scores = scores.detach()
    if scores.dtype is not torch.float64:
        scores = scores.float()
    count: int | Tensor
    if ignore is None:
        count = survivors(keys, sparse_ratio)
    else:
        scores = scores.masked_fill(ignore, -torch.inf)
        count = survivors((~ignore).sum(-1, keepdim=True), sparse_ratio)  # (.., 1), broadcasts to (..., 1)
    border = _border(scores, count, survivors(keys, sparse_ratio))
    kept = scores >= border
    if ignore is not None:
        kept = kept & ~ignore
    return _without_surplus(kept, scores, border, count)


def _border(scores: Tensor, count: int | Tensor, highest: int) -> Tensor:
    """The `count`-th highest of each row, (..., 1)."""
    if isinstance(count, int):
        return scores.topk(highest, -1, sorted=False).values.amin(-1, keepdim=True)
    ordered = scores.topk(highest, -1).values
    return ordered.gather(-1, (count - 1).clamp(min=0).expand(*ordered.shape[:-1], 1))


def _without_surplus(kept: Tensor, scores: Tensor, border: Tensor, count: int | Tensor) -> Tensor:
    """`kept` with as many of the scores equal to `border` left out as are too many, the last ones."""
    asking_is_free = scores.device.type == "cpu" and not torch.compiler.is_compiling()  # else it would wait for the device
    if asking_is_free and not bool((kept.sum(-1, keepdim=True) > count).any()):
        return kept
    level = kept & (scores == border)
    room = count - (kept & ~level).sum(-1, keepdim=True)
    return kept & ~(level & (level.cumsum(-1) > room))


@dataclass(frozen=True, slots=True)
class WinnersTakeAll:
    """Softmax over the winners, the others exactly 0: a `Normalizer` for `attend`.

    Attributes:
        masked: whether some keys are ignored (their logits are -inf): then the survivors of each row are counted anew.
    """

    sparse_ratio: float
    masked: bool = False
    fused: bool = False

    def __call__(self, logits: Tensor) -> Tensor:
        kept = winners(logits, self.sparse_ratio, ignore=logits == -torch.inf if self.masked else None)
        return logits.masked_fill(~kept, -torch.inf).softmax(-1)

    def slope(self, weights: Tensor) -> Tensor:
        return weights
