"""The one building block of both convolutional encoders: a convolution padded as TensorFlow pads, batch norm folded in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name


class SameConv2d(nn.Module):
    """Convolution with "SAME" padding and a bias, then an activation.

    At stride 2 TensorFlow pads an even input by (k - 2) // 2 in front and the rest behind: not symmetric, and not what
    ``padding=`` of torch does. The input must be even in height and width wherever the stride is 2.

    Args:
        channels_in, channels_out: C and C'.
        kernel: side of the square kernel.
        stride: 1 or 2.
        groups: `channels_in` for a depthwise convolution.
        activation: applied last; None for a linear bottleneck.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        total = kernel - stride if kernel > stride else 0
        before = total // 2
        self.pad = (before, total - before, before, total - before)  # left, right, top, bottom
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        x = self.conv(F.pad(x, self.pad) if any(self.pad) else x)
        return x if self.activation is None else self.activation(x)


@torch.no_grad()
def fold_batch_norm(weight: Tensor, norm: dict[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what `weight` followed by the batch norm `norm` does at inference.

    Args:
        weight: (C', C / groups, k, k), without a bias of its own.
        norm: ``weight, bias, running_mean, running_var``, each (C',).
        eps: of the batch norm.
    """
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + eps)
    return weight * scale[:, None, None, None], norm["bias"] - norm["running_mean"] * scale
