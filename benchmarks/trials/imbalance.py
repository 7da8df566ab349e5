"""Imbalance: does holding back the modality that is already sure let the other one's encoder learn more?

Two encoders and a late fusion that decides (heads of its own) are trained together by gradient descent with momentum, as in
the paper of the modulation (arXiv:2203.15332): Adam, which divides by the size of the gradients, would undo most of it.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from benchmarks.trials.tasks import halves
from benchmarks.trials.training import HIDDEN, Part, Task, batches
from multimodal.fusion import LateFusion
from multimodal.fusion.modulation import GradientModulation

WEAKER = "right"
CONTRAST = 0.1
"""Of the weaker half: it tells as much, but its encoder learns more slowly."""

STEPS, RATE, MOMENTUM = 300, 0.02, 0.9


def imbalance(seed: int, device: torch.device) -> dict[str, float]:
    """``plain`` and ``modulated``: accuracy in percent of a linear probe on the weaker half's frozen encoder;
    ``.../together`` that of the fusion."""
    task = _unequal(halves(seed)).to(device)
    values = {}
    for name, modulated in (("plain", False), ("modulated", True)):
        encoders, fusion = _train(task, seed, modulated)
        with torch.inference_mode():
            seen = {part: encoders[WEAKER](getattr(task, part).features[WEAKER]).cpu().numpy() for part in ("train", "test")}
            decided = _decide(encoders, fusion, task.test)["fused"].argmax(1)
        values[f"{name}/together"] = 100 * float((decided == task.test.labels).float().mean())
        values[name] = _probe(seen["train"], task.train.labels, seen["test"], task.test.labels)
    return values


def _unequal(task: Task) -> Task:
    def faint(part: Part) -> Part:
        return Part({**part.features, WEAKER: CONTRAST * part.features[WEAKER]}, part.labels)

    return Task(faint(task.train), faint(task.held), faint(task.test), task.classes)


def _train(task: Task, seed: int, modulated: bool) -> tuple[nn.ModuleDict, LateFusion]:
    torch.manual_seed(seed)
    encoders = nn.ModuleDict({
        name: nn.Sequential(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        for name, dim in task.dims.items()
    }).to(task.train.labels.device)  # fmt: skip
    fusion = LateFusion(dict.fromkeys(task.dims, HIDDEN), HIDDEN, num_classes=task.classes).to(task.train.labels.device)
    optimizer = torch.optim.SGD([*encoders.parameters(), *fusion.parameters()], RATE, momentum=MOMENTUM)
    modulate = GradientModulation(dict(encoders.items())) if modulated else None
    order = batches(len(task.train.labels), torch.Generator().manual_seed(seed))
    for _ in range(STEPS):
        batch = task.train.rows(next(order).to(task.train.labels.device))
        decided = _decide(encoders, fusion, batch)
        optimizer.zero_grad(set_to_none=True)
        functional.nll_loss(decided["fused"], batch.labels).backward()
        if modulate is not None:
            modulate(decided, batch.labels)
        optimizer.step()
    return encoders.eval(), fusion.eval()


def _decide(encoders: nn.ModuleDict, fusion: LateFusion, part: Part) -> dict[str, torch.Tensor]:
    decided: dict[str, torch.Tensor] = fusion({n: encoders[n](x) for n, x in part.features.items()})[1]["log_probabilities"]
    return decided


def _probe(x: NDArray[Any], y: torch.Tensor, tested: NDArray[Any], wanted: torch.Tensor) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(x, y.cpu().numpy())
    return 100 * float(probe.score(tested, wanted.cpu().numpy()))
