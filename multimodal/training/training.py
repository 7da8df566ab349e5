"""The loop: epochs, early stopping, and a checkpoint after each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from multimodal.errors import ConfigError, InputError
from multimodal.training import checkpoint
from multimodal.training.moments import Moments, Split
from multimodal.training.objective import loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it is learned.

    Attributes:
        epochs: at most. patience: epochs without a lower loss on the time to stop by, after which it ends.
        batch_size: moments a step. learning_rate, weight_decay: of AdamW (arXiv:1711.05101).
        noise: of a Gaussian that is added to each vector that asks, relative to its unit length; a moment is never seen
            twice alike.
        gradient_checkpointing: less memory for activations, more time, the same bits.

    Raises:
        ConfigError: names every wrong value, and what is allowed.
    """

    epochs: int = 60
    patience: int = 8
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    noise: float = 0.3
    seed: int = 0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {value!r}, expected {expected}"
            for name, value, right, expected in (
                ("epochs", self.epochs, self.epochs >= 1, "1 or more"),
                ("patience", self.patience, self.patience >= 1, "1 or more"),
                ("batch_size", self.batch_size, self.batch_size >= 2, "2 or more"),
                ("learning_rate", self.learning_rate, 0 < self.learning_rate < 1, "a number in (0, 1)"),
                ("weight_decay", self.weight_decay, 0 <= self.weight_decay < 1, "a number in [0, 1)"),
                ("noise", self.noise, 0 <= self.noise <= 2, "a number in [0, 2]"),
            )
            if not right
        ]
        if wrong:
            raise ConfigError("; ".join(wrong))


class Epoch(NamedTuple):
    """Of one epoch: its number from 1 (0: before any), mean loss while learning, loss on the time to stop by, and whether
    that is the lowest so far."""

    number: int
    learned: float
    stopped: float
    best: bool


class FusionTraining:
    """Trains a fusion module (one of the five) on moments; resumable.

    After every epoch the whole state goes to `folder`; made again with the same module, moments, split and settings, it goes
    on where it was, and ends at the same weights as a training that was never interrupted: all that is drawn in an epoch is
    drawn from (seed, epoch).

    Args:
        module: is trained in place; on the device of `moments`.
        folder: None keeps nothing.
        fresh: forget what lies in `folder`.

    Raises:
        InputError: in `folder` lies a training of other moments, another module or other settings.
    """

    def __init__(
        self, module: nn.Module, moments: Moments, split: Split, settings: Settings | None = None, *,
        folder: Path | None = None, fresh: bool = False,
    ) -> None:  # fmt: skip
        self.module, self.moments, self.split = module, moments, split
        self.settings = settings or Settings()
        self.history: list[Epoch] = []
        self._path = None if folder is None else folder / checkpoint.FILE
        self._identity = self._identify()
        self._best = checkpoint.of_module(module)
        self._optimiser = self._new_optimiser()
        if self._path is not None and not fresh:
            self._resume(self._path)

    @property
    def finished(self) -> bool:
        """Whether it would end at once."""
        if not self.history:
            return False
        best = max((epoch.number for epoch in self.history if epoch.best), default=0)
        last = self.history[-1].number
        return last >= self.settings.epochs or last - best >= self.settings.patience

    def run(self, on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> list[Epoch]:
        """To its end; the module then has the best weights, those it began with where nothing was better.

        `on_epoch` is told of each epoch as it ends; where it goes on, first of the last one that was.
        Ctrl-C in the middle leaves the last whole epoch in `folder`.
        """
        if not self.history:
            self._note(Epoch(0, float("nan"), self._judge(), True), on_epoch)
        else:
            on_epoch(self.history[-1])  # a bar stands where it was
        while not self.finished:
            number = self.history[-1].number + 1
            learned = self._epoch(number)
            judged = self._judge()
            lowest = min(epoch.stopped for epoch in self.history)
            if judged < lowest:
                self._best = checkpoint.of_module(self.module)
            self._note(Epoch(number, learned, judged, judged < lowest), on_epoch)
        self.module.load_state_dict(self._best)
        self.module.eval()
        return self.history

    def _epoch(self, number: int) -> float:
        settings, moments, rows = self.settings, self.moments, self.split.learned
        device = moments.mean.device
        dice = torch.Generator().manual_seed(_seed(settings.seed, number))
        losses = []
        with torch.random.fork_rng([device] if device.type == "cuda" else []):  # dropout draws from the global ones
            torch.manual_seed(_seed(settings.seed, number))
            self.module.train()
            order = torch.randperm(len(rows), generator=dice).to(rows.device)
            for batch in torch.split(rows[order], settings.batch_size):
                self._optimiser.zero_grad(set_to_none=True)
                value = loss(
                    self.module, moments, batch, rows, dice=dice, noise=settings.noise,
                    gradient_checkpointing=settings.gradient_checkpointing,
                )  # fmt: skip
                torch.autograd.backward(value)
                nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                self._optimiser.step()
                losses.append(float(value.detach()))
        self.module.eval()
        return sum(losses) / len(losses)

    @torch.no_grad()
    def _judge(self) -> float:
        self.module.eval()
        return float(loss(self.module, self.moments, self.split.stopped, self.split.stopped))

    def _note(self, epoch: Epoch, on_epoch: Callable[[Epoch], None]) -> None:
        self.history.append(epoch)
        if self._path is not None:
            tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
            tensors |= {f"best.{name}": value for name, value in self._best.items()}
            tensors |= {f"optimiser.{name}": value for name, value in checkpoint.of_optimiser(self._optimiser).items()}
            document = {"identity": self._identity, "history": [_plain(epoch) for epoch in self.history]}
            checkpoint.write(self._path, tensors, document)
        on_epoch(epoch)

    def _resume(self, path: Path) -> None:
        there = checkpoint.read(path)
        if there is None:
            return
        tensors, document = there
        differing = [name for name, value in self._identity.items() if document["identity"].get(name) != value]
        if differing:
            raise InputError(
                f"in {path.parent} lies a training that differs in {', '.join(differing)}: "
                "go on with what it was begun with, or begin a fresh one"
            )
        device = self.moments.mean.device
        self.module.load_state_dict(checkpoint.part(tensors, "module."))
        self._best = {name: value.to(device) for name, value in checkpoint.part(tensors, "best.").items()}
        checkpoint.into_optimiser(self._optimiser, checkpoint.part(tensors, "optimiser."))
        self.history = [
            Epoch(number, float("nan") if learned is None else learned, stopped, best)
            for number, learned, stopped, best in document["history"]
        ]

    def _new_optimiser(self) -> torch.optim.Optimizer:
        settings = self.settings
        return torch.optim.AdamW(
            self.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def _identify(self) -> dict[str, Any]:
        """What has to be equal for a training to go on; how long it may take, and what changes no bit, may differ."""
        settings = asdict(self.settings)
        for free in ("epochs", "patience", "gradient_checkpointing"):
            del settings[free]
        parts = hashlib.sha256()
        for rows in (self.split.learned, self.split.stopped):
            parts.update(rows.cpu().numpy().tobytes())
        shapes = {name: list(value.shape) for name, value in self.module.state_dict().items()}
        return {
            **settings,
            "module": type(self.module).__name__,
            "weights": hashlib.sha256(repr(sorted(shapes.items())).encode()).hexdigest(),
            "moments": self.moments.digest(),
            "split": parts.hexdigest(),
        }


def _plain(epoch: Epoch) -> list[Any]:
    """JSON has no NaN."""
    learned = None if epoch.learned != epoch.learned else epoch.learned
    return [epoch.number, learned, epoch.stopped, epoch.best]


def _seed(seed: int, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:8], "little") >> 1
