"""How every model of `sensorium bench fusion` is trained: one recipe, one place, nothing tuned to a strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusion import AdaptiveFusion, BilinearFusion, EarlyFusion, HierarchicalFusion, LateFusion

STRATEGIES: dict[str, type[nn.Module]] = {
    "early": EarlyFusion,
    "late": LateFusion,
    "hierarchical": HierarchicalFusion,
    "bilinear": BilinearFusion,
    "adaptive": AdaptiveFusion,
}
HIDDEN = 64
STEPS, BATCH, RATE, DECAY, SMOOTHING = 300, 128, 3e-3, 1e-2, 0.1

BALANCE = 0.01
"""Weight of the load-balance loss, as the adaptive fusion documents it."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Samples: features by name (N, D), labels (N,), and where measured the quality by name (N,)."""

    features: dict[str, Tensor]
    labels: Tensor
    quality: dict[str, Tensor] = field(default_factory=dict)

    def only(self, *names: str) -> Part:
        """Those modalities alone."""
        return replace(self, features={name: self.features[name] for name in names},
                       quality={name: q for name, q in self.quality.items() if name in names})

    def unrated(self) -> Part:
        """Without the quality: all of it counts alike."""
        return replace(self, quality={})

    def rows(self, index: Tensor) -> Part:
        return Part({name: x[index] for name, x in self.features.items()}, self.labels[index],
                    {name: q[index] for name, q in self.quality.items()})

    def to(self, device: torch.device) -> Part:
        return Part({name: x.to(device) for name, x in self.features.items()}, self.labels.to(device),
                    {name: q.to(device) for name, q in self.quality.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A classification in three parts: to train on, to calibrate on, and to measure on."""

    train: Part
    held: Part
    test: Part
    classes: int

    @property
    def dims(self) -> dict[str, int]:
        return {name: x.shape[1] for name, x in self.train.features.items()}

    def only(self, *names: str) -> Task:
        return replace(self, train=self.train.only(*names), held=self.held.only(*names), test=self.test.only(*names))

    def unrated(self) -> Task:
        return replace(self, train=self.train.unrated(), held=self.held.unrated(), test=self.test.unrated())

    def to(self, device: torch.device) -> Task:
        return replace(self, train=self.train.to(device), held=self.held.to(device), test=self.test.to(device))


class Fused(nn.Module):
    """A strategy with a linear head: whatever is not linear happens in the strategy."""

    def __init__(self, strategy: str, dims: Mapping[str, int], classes: int, **options: Any) -> None:
        super().__init__()
        self.strategy = STRATEGIES[strategy](dims, HIDDEN, **options)
        self.head = nn.Linear(HIDDEN, classes)

    def forward(self, part: Part, mask: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor | float]:
        """Logits (B, C) and what the strategy adds to the loss."""
        fused, metadata = self.strategy(part.features, mask=mask, quality=part.quality or None)
        return self.head(fused), BALANCE * metadata.get("load_balance_loss", 0.0)


class Concatenated(nn.Module):
    """The control: all features in one row, two hidden layers, so wide that it has as many parameters as `size` says."""

    def __init__(self, dims: Mapping[str, int], classes: int, size: int) -> None:
        super().__init__()
        inputs = sum(dims.values())
        width = 1
        while parameters_of_mlp(inputs, width + 1, classes) <= size:
            width += 1
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
                                    nn.Linear(width, classes))

    def forward(self, part: Part) -> tuple[Tensor, float]:
        return self.layers(torch.cat([part.features[name] for name in sorted(part.features)], 1)), 0.0


def parameters_of_mlp(inputs: int, width: int, classes: int) -> int:
    return (inputs + 1) * width + (width + 1) * width + (width + 1) * classes


def size(model: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def train(model: nn.Module, task: Task, seed: int, *, steps: int = STEPS) -> nn.Module:
    """AdamW with a cosine to zero, labels smoothed, batches drawn by `seed`; the last weights are the result."""
    order = batches(len(task.train.labels), torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        batch = task.train.rows(next(order).to(task.train.labels.device))
        logits, extra = model(batch)
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=SMOOTHING) + extra
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def predict(model: nn.Module, part: Part, **options: Any) -> Tensor:
    """Logits (N, C)."""
    model.eval()
    logits: Tensor = model(part, **options)[0]
    return logits


def accuracy(model: nn.Module, part: Part, **options: Any) -> float:
    """In percent."""
    return 100 * float((predict(model, part, **options).argmax(1) == part.labels).float().mean())


def batches(count: int, random: torch.Generator) -> Iterator[Tensor]:
    """For ever: every sample once, then again in another order."""
    while True:
        order = torch.randperm(count, generator=random)
        yield from order.split(BATCH)[:max(1, count // BATCH)]
