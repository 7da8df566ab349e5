"""YAMNet: the sound encoder, as a torch module.

A MobileNet v1 (Howard et al., arXiv:1704.04861) over log-mel patches of 0.96 s, trained on AudioSet's 521 classes; each
class has its own sigmoid. The published weights come as a TensorFlow SavedModel; `extract_yamnet` reads them through
OpenVINO, without TensorFlow, and this module computes the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings._openvino import openvino
from multimodal.embeddings.convnet import SameConv2d

FEATURES = 1024
CLASSES = 521
FRAMES = 96
BANDS = 64
BINS = 257
_LOG_OFFSET = 1e-3
# channels out and stride of each depthwise-separable pair
_PAIRS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class YAMNet(nn.Module):
    """Magnitude spectra to class scores and features."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = nn.Parameter(torch.zeros(BINS, BANDS))  # 64 HTK mel bands, 125-7500 Hz, as the weights bring them
        layers = [SameConv2d(1, 32, kernel=3, stride=2, activation=F.relu)]
        channels = 32
        for channels_out, stride in _PAIRS:
            layers.append(SameConv2d(channels, channels, kernel=3, stride=stride, groups=channels, activation=F.relu))
            layers.append(SameConv2d(channels, channels_out, activation=F.relu))
            channels = channels_out
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """spectra (N, 96, 257): magnitudes of 96 frames -> scores (N, 521) in [0, 1], features (N, 1024)."""
        patches = torch.log(spectra @ self.mel + _LOG_OFFSET)  # (N, 96, 64)
        features = self.layers(patches[:, None]).mean((2, 3))  # (N, 1, 96, 64) -> (N, 1024, 3, 2) -> (N, 1024)
        return torch.sigmoid(self.classifier(features)), features


def extract_yamnet(saved_model: Path) -> dict[str, Tensor]:
    """The state dict of `YAMNet`, out of the SavedModel.

    The wheel's model wraps the network in a loop over a batch of sounds; the loop's body is the network. OpenVINO has
    folded the batch norms into the convolutions when it hands the graph over. Call it in a process with telemetry off.

    Raises:
        ValueError: the graph is not the one that this module knows.
    """
    ov = openvino()

    loops = [op for op in ov.convert_model(saved_model).get_ops() if op.get_type_name() == "Loop"]
    if len(loops) != 1:
        raise ValueError(f"{saved_model}: expected one loop round the network, found {len(loops)}")
    ops = list(loops[0].get_function().get_ordered_ops())
    convolutions = [op for op in ops if op.get_type_name() in ("Convolution", "GroupConvolution")]
    products = [op for op in ops if op.get_type_name() == "MatMul"]
    names = [name for name, layer in YAMNet().layers.named_children() if isinstance(layer, SameConv2d)]
    if len(convolutions) != len(names) or len(products) != 2:
        raise ValueError(f"{saved_model}: found {len(convolutions)} convolutions, the network has {len(names)}")
    state: dict[str, Tensor] = {}
    for name, op in zip(names, convolutions, strict=True):
        weight = _constant(op, 1)
        if op.get_type_name() == "GroupConvolution":
            weight = weight.flatten(0, 1)  # (G, 1, 1, k, k) -> (G, 1, k, k)
        state[f"layers.{name}.conv.weight"] = weight
        state[f"layers.{name}.conv.bias"] = _constant(_reader(op), 1).flatten()
    mel, dense = products
    state["classifier.weight"] = _constant(dense, 1)
    state["classifier.bias"] = _constant(_reader(dense), 1).flatten()
    matrix = _constant(mel, 1)
    state["mel"] = matrix if matrix.shape == (BINS, BANDS) else matrix.T
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _constant(op: Any, index: int) -> Tensor:
    """The constant that enters `op` at `index`, seen through a conversion to float32."""
    node = op.input_value(index).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return torch.from_numpy(node.data.copy()).float()


def _reader(op: Any) -> Any:
    """The one operation that reads what `op` computes."""
    return next(iter(op.output(0).get_target_inputs())).get_node()


@torch.no_grad()
def load_yamnet(weights: dict[str, Tensor]) -> YAMNet:
    """The pretrained network from what `extract_yamnet` gave."""
    model = YAMNet()
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)
