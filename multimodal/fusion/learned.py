"""A trained fusion over the streams of a window: the training-free mean, and what training has found to add."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multimodal.errors import ConfigError
from multimodal.fusion.mean import Looked, MeanFusion, unit
from multimodal.fusion.saved import Strategy, digest, load_fusion, save_fusion, strategy_name
from multimodal.fusion.window import Floats, FusionResult, Window
from multimodal.types import ModalityType


class LearnedFusion:
    """What `training_free` makes of a window, moved by the module's residual and brought back to unit length.

        vector = unit(sum_s w_s v_s / sum_s w_s + residual)          s: streams, w their weight, as in `MeanFusion`

    The residual sees one vector and one quality per modality: of its streams the weighted mean, pictures as text and sound
    see them, brought to unit length, and the mean weight. Where it is zero - an untrained module, or nothing readable - the
    result is that of `training_free`, to the bit. Alignment, coherence and attention are always those of
    `training_free`: they are said of the streams, not of their sum.

    A stream's contribution = (1 - r) its share in the mean + r its modality's effect on the residual (split by weight among
    that modality's streams), r the residual's share of all that moves when a modality is left out (`residual.around_mean`).

    One window at a time, always in one shape: a window's bits do not depend on its neighbours. On a CPU it computes in
    float64 and rounds once at the end, so they do not depend on the number of threads either, which changes the order of
    sums (in float32 it was seen to). Thread-safe: the module is a copy in eval mode, and nothing writes to it.

    Args:
        module: one of the five, with the modalities text, image and audio, all in the width of `training_free` and out of it.
        training_free: what it adds to.
        device: where the module runs; the result is numpy.

    Raises:
        ConfigError: a module of other modalities or dimensions, or one of the five it is not.
    """

    def __init__(self, module: Strategy, *, training_free: MeanFusion, device: str | torch.device = "cpu") -> None:
        self.strategy = strategy_name(module)
        _refuse_others(module, training_free.width)
        self.training_free = training_free
        self.digest: str = digest(module)
        """SHA-256 of strategy, options and weights, for a fingerprint."""
        self._device = torch.device(device)
        self.module: Strategy = deepcopy(module).eval().requires_grad_(False)
        """What was given, as it was given; `save` writes it."""
        exact = torch.float64 if self._device.type == "cpu" else None
        self._running = deepcopy(self.module).to(self._device, exact)

    def __call__(self, window: Window) -> FusionResult:
        """See `FusionResult`; never NaN, and zeros where every quality is 0."""
        looked = self.training_free.look(window)
        plain = self.training_free.joined(looked)
        if not looked.streams:
            return plain
        members = _by_modality(looked)
        told = self._told(looked, members)
        residual = told["residual"][0].float().cpu().numpy()
        if not residual.any():
            return plain
        weights = {name: stream.weight for name, stream in looked.streams.items()}
        mean = np.zeros_like(residual)
        for name, weight in weights.items():
            mean += np.float32(weight / sum(weights.values())) * looked.seen[name]
        r = float(told["residual_share"][0])
        contributions = dict.fromkeys(plain.contributions, 0.0)
        for modality, names in members.items():
            effect, together = float(told["effects"][modality][0]), sum(weights[name] for name in names)
            for name in names:
                contributions[name] = (1 - r) * plain.contributions[name] + r * effect * weights[name] / together
        return replace(plain, vector=unit(mean + residual), contributions=contributions)

    def save(self, path: str | Path) -> None:
        """One safetensors file with the strategy, dimensions and options in its metadata; whole or not at all."""
        save_fusion(self.module, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        training_free: MeanFusion,
        strategy: str | None = None,
        device: str | torch.device = "cpu",
    ) -> LearnedFusion:
        """
        Args:
            strategy: what the file has to be, such as "early"; any of the five where None.

        Raises:
            ModelMissingError: there is no such file.
            ConfigError: it is not a fusion, of another strategy or of other dimensions.
        """
        return cls(load_fusion(path, strategy=strategy), training_free=training_free, device=device)

    @torch.inference_mode()
    def _told(self, looked: Looked, members: dict[str, list[str]]) -> dict[str, Any]:
        """The module's metadata of this one window."""
        features: dict[str, Tensor] = {}
        quality: dict[str, Tensor] = {}
        for modality, names in members.items():
            vector, weight = _pooled(looked, names)
            features[modality] = torch.from_numpy(vector).to(self._device)[None]  # (D,) -> (1, D)
            quality[modality] = torch.tensor([weight], dtype=torch.float32, device=self._device)
        told: dict[str, Any] = self._running(features, quality=quality)[1]
        return told


def _by_modality(looked: Looked) -> dict[str, list[str]]:
    """The names of the readable streams of each modality."""
    members: dict[str, list[str]] = {}
    for name, stream in looked.streams.items():
        members.setdefault(str(stream.entries[0].modality), []).append(name)
    return members


def _pooled(looked: Looked, names: list[str]) -> tuple[Floats, float]:
    """Unit vector (D,) and mean weight of the streams of one modality."""
    weights = [looked.streams[name].weight for name in names]
    vector = looked.seen[names[0]]
    if len(names) > 1:
        vector = np.zeros_like(vector)
        for name, weight in zip(names, weights, strict=True):
            vector += np.float32(weight) * looked.seen[name]
        vector = unit(vector)
    return np.ascontiguousarray(vector), min(1.0, sum(weights) / len(weights))


def _refuse_others(module: Strategy, width: int) -> None:
    expected = {str(modality): width for modality in ModalityType}
    wrong = []
    if module.intake.dims != dict(sorted(expected.items())):
        wrong.append(f"modality_dims is {module.intake.dims!r}, expected {expected!r}")
    if module.intake.hidden_dim != width:
        wrong.append(f"hidden_dim is {module.intake.hidden_dim}, expected {width}")
    if wrong:
        raise ConfigError("a fusion of windows works in the shared space: " + "; ".join(wrong))
