"""One seed of one task of `sensorium bench fusion`: every model trained and measured, as plain numbers by name.

Names are ``<model>`` for an accuracy in percent, ``<model>/size`` for its parameters, ``<model>/<what>`` for what else
there is. ``mlp:<strategy>`` is the concatenation MLP of that strategy's size, ``only:<modality>`` the same kind of MLP (of
the size of the early fusion) on one modality alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.trials import tasks
from benchmarks.trials.imbalance import imbalance
from benchmarks.trials.training import (
    STEPS,
    STRATEGIES,
    Concatenated,
    Fused,
    Task,
    accuracy,
    fitted,
    predict,
    size,
    train,
)
from multimodal.fusion.temperature import fit_temperature

MISSING = 0.5
"""Modality dropout where modalities will be missing or of uneven worth; 0, the strategies' default, elsewhere."""

EASY = 100
"""Steps of training where two sources show plainly."""

LONG = 600
"""Steps where a half will be missing: with modality dropout each half is seen alone in 3 of 8 samples only."""

LIKE = "early"
"""The strategy whose size the single classifiers have."""

Values = dict[str, float]
Trial = Callable[[int, torch.device], Values]


def signs(seed: int, device: torch.device) -> Values:
    return _compared(tasks.signs(seed).to(device), seed)[0]


def known(kind: str) -> Trial:
    def trial(seed: int, device: torch.device) -> Values:
        from benchmarks.trials.information import decompose, estimate

        task, joint = tasks.known(kind, seed)
        values, _ = _compared(task.to(device), seed, steps=EASY)
        found = estimate(task.train.features["left"].numpy(), task.train.features["right"].numpy(),
                         task.train.labels.numpy(), cells=2, seed=seed)
        for name, true, estimated in zip(found._fields, decompose(joint), found, strict=True):
            values |= {f"true/{name}": true, f"estimated/{name}": estimated}
        return values

    return trial


def missing(seed: int, device: torch.device) -> Values:
    task = tasks.halves(seed).to(device)
    values, models = _compared(task, seed, LONG, modality_dropout=MISSING)
    for strategy in STRATEGIES:
        for name in task.dims:
            gone = {name: torch.ones(len(task.test.labels), dtype=torch.bool, device=device)}
            values[f"{strategy}/without {name}"] = accuracy(models[strategy], task.test, mask=gone)
    return values


def noise(seed: int, device: torch.device) -> Values:
    """Also ``<strategy>/without``: the same trained without the noise from the start, and whether it was left out."""
    task = tasks.with_noise(tasks.halves(seed), "right", seed).to(device)
    values, models = _compared(task, seed, modality_dropout=MISSING)
    for strategy in STRATEGIES:
        model = models[strategy]
        left_out = isinstance(model, Fused) and "right" not in model.names
        without = model if left_out else fitted(strategy, task.only("left"), seed, modality_dropout=MISSING)
        values |= {f"{strategy}/without": accuracy(without, task.test), f"{strategy}/left out": 100.0 * left_out}
    return values


def audio_visual(seed: int, device: torch.device) -> Values:
    """Also ``averaging``: the single classifiers' log-probabilities, each calibrated on the held part, added;
    ``<strategy>/equal``: trained and measured without the quality; and both with the test's sound replaced by noise."""
    task = tasks.audio_visual(seed).to(device)
    values, models = _compared(task, seed, modality_dropout=MISSING)
    added = torch.zeros(len(task.test.labels), task.classes, device=device)
    for name in task.dims:
        one = models[f"only:{name}"]
        heat = fit_temperature(predict(one, task.held.only(name)), task.held.labels)
        added += functional.log_softmax(predict(one, task.test.only(name)) / heat, -1)
    values["averaging"] = 100 * float((added.argmax(1) == task.test.labels).float().mean())
    deaf = tasks.deafened(task.test, seed)
    gone = {"audio": torch.ones(len(task.test.labels), dtype=torch.bool, device=device)}
    for strategy in STRATEGIES:
        equal = fitted(strategy, task.unrated(), seed, modality_dropout=MISSING)
        values[f"{strategy}/equal"] = accuracy(equal, task.test.unrated())
        values[f"{strategy}/deafened"] = accuracy(models[strategy], deaf)
        values[f"{strategy}/equal deafened"] = accuracy(equal, deaf.unrated())
        values[f"{strategy}/deaf"] = accuracy(models[strategy], task.test, mask=gone)
    return values


TRIALS: dict[str, Trial] = {
    "signs": signs,
    **{kind: known(kind) for kind in tasks.KINDS},
    "missing": missing,
    "audio-visual": audio_visual,
    "noise": noise,
    "imbalance": imbalance,
}


def _compared(
    task: Task, seed: int, steps: int = STEPS, modality_dropout: float = 0.0
) -> tuple[Values, dict[str, torch.nn.Module]]:
    """Every strategy, its MLP, and the single modalities."""
    values: Values = {}
    models: dict[str, torch.nn.Module] = {}
    for strategy in STRATEGIES:
        models[strategy] = fitted(strategy, task, seed, steps=steps, modality_dropout=modality_dropout)
        models[f"mlp:{strategy}"] = _mlp(task, size(models[strategy]), seed, steps)
    for name in task.dims:
        models[f"only:{name}"] = _mlp(task.only(name), size(models[LIKE]), seed, steps)
    for name, model in models.items():
        test = task.test.only(name.removeprefix("only:")) if name.startswith("only:") else task.test
        values |= {name: accuracy(model, test), f"{name}/size": size(model)}
    return values, models


def _mlp(task: Task, parameters: int, seed: int, steps: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return train(Concatenated(task.dims, task.classes, parameters).to(_device(task)), task, seed, steps=steps)


def _device(task: Task) -> torch.device:
    labels: Tensor = task.train.labels
    return labels.device
