"""The complete graph of each encoder: raw array in, everything the encoder needs out.

One definition for both runtimes: OpenVINO runs its conversion, torch runs it as it is. What would otherwise be a matrix
product in numpy is in here, because only in the converted graph are a row's bits the same in every batch.

Letters: N batch, T tokens, D shared space (384), C classes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from multimodal.embeddings import conse
from multimodal.embeddings.efficientnet import CLASSES, MEAN, SCALE, EfficientNetLite0
from multimodal.embeddings.minilm import WIDTH, MiniLM
from multimodal.embeddings.yamnet import BINS, FRAMES, YAMNet

PICTURE_CLASSES, PICTURE_TEMPERATURE = 30, 1.5
CELL_CLASSES, CELL_TEMPERATURE = 20, 2.0
"""How many classes place a picture, or a cell of it, in the shared space, and how much their probabilities are softened
(those of the labels are not): a classifier is surer of its first class than a place between names should be.

Measured against ten classes at 1.0. Words to pictures, R@10: .48 to .51 on 410 objects cut out, .66 to .71 on 187 whole
photographs. The named part of a mosaic gets the most attention: .81 to .87 of two, .69 to .71 of four.
"""


class PictureGraph(nn.Module):
    """Pixels to the picture's and its cells' places in the shared space."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNetLite0()
        self.names = nn.Parameter(torch.zeros(CLASSES, WIDTH))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """pixels uint8 (N, H, W, 3), RGB -> embedding (N, D), probabilities (N, C), native (N, 1280), cells (N, HW/32², D).

        Cells go row by row from the top left.
        """
        x = (pixels.permute(0, 3, 1, 2).float() - MEAN) / SCALE
        features = self.net(x).flatten(2).transpose(1, 2)  # (N, F, h, w) -> (N, hw, F)
        cells = self.net.classifier(features)  # (N, hw, C)
        pooled = cells.mean(1)  # the logits of the mean feature: the classifier is linear
        place = conse.place(pooled, self.names, k=PICTURE_CLASSES, temperature=PICTURE_TEMPERATURE)
        places = conse.place(cells, self.names, k=CELL_CLASSES, temperature=CELL_TEMPERATURE)  # (N, hw, D)
        return place, pooled.softmax(-1), features.mean(1), places


GRAPHS: dict[str, type[nn.Module]] = {"minilm": MiniLM, "efficientnet-lite0": PictureGraph, "yamnet": YAMNet}
"""By the model's name in the table of models."""

EXAMPLES: dict[str, Tensor] = {
    "minilm": torch.ones(2, 8, dtype=torch.int64),
    "efficientnet-lite0": torch.zeros(2, 224, 224, 3, dtype=torch.uint8),
    "yamnet": torch.zeros(2, FRAMES, BINS),
}
"""An input of each graph."""

SHAPES: dict[str, tuple[int, ...]] = {
    "minilm": (-1, -1),
    "efficientnet-lite0": (-1, 224, 224, 3),
    "yamnet": (-1, FRAMES, BINS),
}
"""The input of each graph, with -1 for what may vary."""


def load_graph(name: str, folder: Path) -> nn.Module:
    """The graph of a model, with the weights that its conversion left in `folder`; on the CPU, not trainable."""
    graph = GRAPHS[name]()
    graph.load_state_dict(load_file(folder / "weights.safetensors"))
    return graph.eval().requires_grad_(False)
