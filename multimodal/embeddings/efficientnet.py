"""EfficientNet-Lite0: the picture encoder, as a torch module.

Architecture: Tan and Le, EfficientNet (arXiv:1905.11946), in its Lite variant for edge devices: no squeeze-and-excitation,
ReLU6 everywhere, stem and head not scaled. 4.7 M weights; at 224x224 its last feature map is 7x7.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.convnet import SameConv2d, fold_batch_norm

FEATURES = 1280
CLASSES = 1000
MEAN, SCALE = 127.0, 128.0
"""Of the checkpoint's training: pixels in 0..255 enter as (x - 127) / 128."""

_BATCH_NORM_EPS = 1e-3
# kernel, stride of the first, expansion, channels in, channels out, repeats
_STAGES = (
    (3, 1, 1, 32, 16, 1),
    (3, 2, 6, 16, 24, 2),
    (5, 2, 6, 24, 40, 2),
    (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3),
    (5, 2, 6, 112, 192, 4),
    (3, 1, 6, 192, 320, 1),
)


class _InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; the input is added where shape allows."""

    def __init__(self, kernel: int, stride: int, expansion: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = SameConv2d(channels_in, wide, activation=F.relu6) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv2d(wide, wide, kernel=kernel, stride=stride, groups=wide, activation=F.relu6)
        self.project = SameConv2d(wide, channels_out)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Pixels to the last feature map, and the linear head beside it.

    Because the head is linear and pooling is a mean, the mean of the cells' logits is the logits of the pooled map.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, kernel=3, stride=2, activation=F.relu6)
        blocks: list[nn.Module] = []
        for kernel, stride, expansion, channels_in, channels_out, repeats in _STAGES:
            blocks.append(_InvertedBottleneck(kernel, stride, expansion, channels_in, channels_out))
            blocks += [
                _InvertedBottleneck(kernel, 1, expansion, channels_out, channels_out) for _ in range(repeats - 1)
            ]
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv2d(320, FEATURES, activation=F.relu6)
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised, H and W multiples of 32 -> (N, 1280, H / 32, W / 32)."""
        features: Tensor = self.head(self.blocks(self.stem(x)))
        return features


@torch.no_grad()
def load_efficientnet(checkpoint: Path) -> EfficientNetLite0:
    """The pretrained network, batch norms folded into its convolutions.

    The checkpoint is read with ``weights_only=True``: a pickle that runs code is refused by torch.
    """
    weights: dict[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = EfficientNetLite0()

    def fill(layer: SameConv2d, conv: str, norm: str) -> None:
        parts = {k: weights[f"{norm}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
        weight, bias = fold_batch_norm(weights[f"{conv}.weight"], parts, _BATCH_NORM_EPS)
        layer.conv.weight.copy_(weight)
        assert layer.conv.bias is not None  # SameConv2d always has one
        layer.conv.bias.copy_(bias)

    fill(model.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(model.blocks):
        assert isinstance(block, _InvertedBottleneck)
        if isinstance(block.expand, SameConv2d):
            fill(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        fill(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        fill(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    fill(model.head, "_conv_head", "_bn1")
    model.classifier.weight.copy_(weights["_fc.weight"])
    model.classifier.bias.copy_(weights["_fc.bias"])
    return model.eval().requires_grad_(False)
