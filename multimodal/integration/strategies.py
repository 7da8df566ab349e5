"""The fusion of a processor, by ``fusion_method``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from multimodal.embeddings.minilm import WIDTH
from multimodal.errors import ConfigError
from multimodal.fusion.learned import LearnedFusion
from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.saved import STRATEGIES, Strategy
from multimodal.fusion.window import WindowFusion
from multimodal.integration.config import IntegrationConfig
from multimodal.types import ModalityType

WEIGHTS = "fusion.safetensors"
"""Name of the weights in a folder."""

ATTENDING = ("hierarchical", "adaptive")
"""Strategies with attention in them."""


def module_of(config: IntegrationConfig, width: int = WIDTH) -> Strategy:
    """A new module of ``config.fusion_method`` with its dropouts and heads, to be trained; `width` in and out.

    Raises:
        ConfigError: "mean" has nothing to train, or the heads do not divide the width.
    """
    if config.fusion_method not in STRATEGIES:
        raise ConfigError(f"fusion_method is {config.fusion_method!r}, which is no module; {', '.join(STRATEGIES)} are")
    _check_heads(config, width)
    options: dict[str, Any] = {"dropout": config.fusion_dropout}
    if config.fusion_method in ATTENDING:
        options |= {"num_heads": config.num_attention_heads, "attention_dropout": config.attention_dropout}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind: Any = STRATEGIES[config.fusion_method]
        module: Strategy = kind(dict.fromkeys(map(str, ModalityType), width), width, **options)
    return module


def _check_heads(config: IntegrationConfig, width: int) -> None:
    if config.fusion_method in ATTENDING and width % config.num_attention_heads:
        raise ConfigError(
            f"num_attention_heads is {config.num_attention_heads}, expected a divisor of the space's {width} dimensions"
        )


def _learned(config: IntegrationConfig, width: int) -> WindowFusion:
    """An untrained strategy equals the mean to the bit, so the mean is what is computed until there are weights."""
    _check_heads(config, width)
    mean = MeanFusion(width=width)
    if config.fusion_weights is None:
        return mean
    path = weights_file(config.fusion_weights)
    return LearnedFusion.load(path, training_free=mean, strategy=config.fusion_method)


FUSIONS: dict[str, Callable[[IntegrationConfig, int], WindowFusion]] = {
    "mean": lambda config, width: MeanFusion(width=width),
    **dict.fromkeys(STRATEGIES, _learned),
}
"""(configuration, dimensions of the space) -> fusion."""


def weights_file(path: str | Path) -> Path:
    """The file itself, or the one of that name in a folder."""
    path = Path(path).expanduser()
    return path / WEIGHTS if path.is_dir() else path


def identity(method: str, fusion: WindowFusion) -> str:
    """For a fingerprint; with the hash of the weights where there are any."""
    return f"{method}@{fusion.digest[:12]}" if isinstance(fusion, LearnedFusion) else method
