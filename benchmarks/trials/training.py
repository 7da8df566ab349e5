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

DROPOUT = 0.2
"""Of every model's hidden layers."""

ALONE = 0.5
"""Weight of the loss of the adaptive fusion's experts, each with the same head on what it says alone."""


GATE_STEPS, GATE_PRIOR = 15, 1e-3
"""Of the fit of its gate on the held part."""


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
    """A strategy with a linear head: whatever is not linear happens in the strategy. It takes its modalities of a part."""

    def __init__(self, strategy: str, dims: Mapping[str, int], classes: int, **options: Any) -> None:
        super().__init__()
        self.names = tuple(dims)
        self.strategy = STRATEGIES[strategy](dims, HIDDEN, **options)
        self.head = nn.Linear(HIDDEN, classes)

    def forward(self, part: Part, mask: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor | float]:
        """Logits (B, C) and what the strategy adds to the loss; a `mask` of modalities it does not take changes nothing."""
        taken = part.only(*self.names)
        mask = {name: gone for name, gone in (mask or {}).items() if name in self.names}
        fused, metadata = self.strategy(taken.features, mask=mask, quality=taken.quality or None)
        return self.head(fused), self._alone(metadata, part.labels) if self.training and "said" in metadata else 0.0

    def _alone(self, metadata: Mapping[str, Any], labels: Tensor) -> Tensor:
        said = torch.stack(list(metadata["said"].values()), 1)  # E of (B, H) -> (B, E, H)
        logits = self.head(metadata["mean"][:, None] + said).transpose(1, 2)  # (B, E, C) -> (B, C, E)
        return ALONE * functional.cross_entropy(logits, labels[:, None].expand(-1, said.shape[1]), label_smoothing=SMOOTHING)


class Concatenated(nn.Module):
    """The control: all features in one row, two hidden layers, so wide that it has as many parameters as `size` says."""

    def __init__(self, dims: Mapping[str, int], classes: int, size: int) -> None:
        super().__init__()
        inputs = sum(dims.values())
        width = 1
        while parameters_of_mlp(inputs, width + 1, classes) <= size:
            width += 1
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Dropout(DROPOUT),
                                    nn.Linear(width, width), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(width, classes))

    def forward(self, part: Part) -> tuple[Tensor, float]:
        return self.layers(torch.cat([part.features[name] for name in sorted(part.features)], 1)), 0.0


def parameters_of_mlp(inputs: int, width: int, classes: int) -> int:
    return (inputs + 1) * width + (width + 1) * width + (width + 1) * classes


def size(model: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def fitted(strategy: str, task: Task, seed: int, *, steps: int = STEPS, modality_dropout: float = 0.0) -> Fused:
    """Trained; then the held part decides whether something is left out, and if so it is trained from the start without.

    Left out is the modality without which the held part's loss is lowest, where that is not above the loss with all. Only
    where modality dropout has taught what stands for an absent one can this be asked.
    """
    torch.manual_seed(seed)
    model = Fused(strategy, task.dims, task.classes, dropout=DROPOUT, modality_dropout=modality_dropout)
    model.to(task.train.labels.device)
    train(model, task, seed, steps=steps)
    if strategy == "adaptive":
        fit_gate(model, task.held)
    if modality_dropout == 0 or len(task.dims) == 1:
        return model
    losses = {name: held_loss(model, task, {name: torch.ones_like(task.held.labels, dtype=torch.bool)}) for name in task.dims}
    worst = min(losses, key=losses.__getitem__)
    if losses[worst] > held_loss(model, task):
        return model
    rest = task.only(*(name for name in task.dims if name != worst))
    return fitted(strategy, rest, seed, steps=steps, modality_dropout=modality_dropout)


def fit_gate(model: Fused, held: Part) -> None:
    """How much each expert is believed, from samples that none of them was trained on (stacking, Wolpert 1992).

    Five numbers are fitted, a bias for each expert and one factor for what the gate sees; on the training data the expert
    that knows it by heart would win.
    """
    gate = model.strategy.get_submodule("core.gate")
    weight = gate.get_parameter("weight").detach()
    bias = gate.get_parameter("bias").detach().clone().requires_grad_()
    factor = torch.ones((), device=weight.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias, factor], max_iter=GATE_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        changed = {"strategy.core.gate.weight": factor * weight, "strategy.core.gate.bias": bias}
        logits = torch.func.functional_call(model, changed, (held,))[0]
        value = functional.cross_entropy(logits, held.labels) + GATE_PRIOR * (bias.square().sum() + (factor - 1).square())
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        gate.get_parameter("weight").mul_(factor)
        gate.get_parameter("bias").copy_(bias)


def held_loss(model: nn.Module, task: Task, mask: Mapping[str, Tensor] | None = None) -> float:
    """Cross entropy of the held part in nats, without what `mask` says."""
    return float(functional.cross_entropy(predict(model, task.held, mask=mask), task.held.labels))


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
