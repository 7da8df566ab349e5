"""What a processor holds once it is open: models, fusion, maps and memory. It is replaced as a whole, never changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from multimodal.embeddings.opening import EMBEDDED
from multimodal.fusion.learned import LearnedFusion
from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.window import WindowFusion
from multimodal.integration import saving
from multimodal.integration.cache import EncodingCache
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.meter import Meter
from multimodal.integration.models import fingerprint_of, open_models, width_of
from multimodal.integration.modes import Modes
from multimodal.integration.remembered import Remembered
from multimodal.integration.shown import Shown
from multimodal.integration.strategies import FUSIONS, identity
from multimodal.types import ModalityEmbedding, ModalityType


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """
    Attributes:
        encoders: by modality, their vectors in one space.
    """

    config: IntegrationConfig
    encoders: Mapping[ModalityType, Any]
    fusion: WindowFusion
    shown: Shown
    remembered: Remembered
    fingerprint: str
    cache: EncodingCache
    modes: Modes

    @property
    def trained(self) -> bool:
        """The fusion has weights."""
        return isinstance(self.fusion, LearnedFusion)

    def save(self, folder: str | Path) -> None:
        """See `saving.write`."""
        saving.write(folder, self.config, self._models(), self.fusion, self.shown.maps)

    def loaded(self, folder: str | Path) -> Opened:
        """The same with the fusion and the maps of `folder`; for errors see `saving.read`."""
        maps, weights = saving.read(folder, self.config, self._models())
        method, mean = self.config.fusion_method, MeanFusion(width=self.shown.width)
        fusion: WindowFusion = mean
        if weights is not None:
            fusion = LearnedFusion.load(weights, training_free=mean, strategy=method)
        return replace(
            self,
            fusion=fusion,
            shown=Shown(self.shown.width, self.shown.dims, maps),
            fingerprint=fingerprint_of(self.encoders, identity(method, fusion)),
        )

    def _models(self) -> dict[str, str]:
        return saving.identities({str(modality): one.fingerprint for modality, one in self.encoders.items()})


def open_all(config: IntegrationConfig, meter: Meter, encoders: Mapping[ModalityType, Any] | None = None) -> Opened:
    """Everything that `config` asks for, with `encoders` in place of its own where they are given.

    Raises:
        ModelMissingError: a model has not been pulled, or there are no such weights.
        ConfigError: weights of another fusion, or heads that do not divide the dimensions.
    """
    own = open_models(config) if encoders is None else dict(encoders)
    width = width_of(own[ModalityType.TEXT])
    fusion = FUSIONS[config.fusion_method](config, width)
    remembered = Remembered(
        width,
        size=config.index_size,
        budget=config.memory_budget - config.memory_budget // 2,
        picture_size=config.max_image_size,
        seconds=config.max_audio_duration,
        embedded=encoders is None and config.text_model == EMBEDDED,
    )
    dims = {name: getattr(config, f"{name}_embedding_dim") for name in [*map(str, ModalityType), "shared"]}
    name = identity(config.fusion_method, fusion)

    def encode(modality: ModalityType, items: Sequence[Any]) -> list[ModalityEmbedding]:
        began = time.perf_counter()
        entries: list[ModalityEmbedding] = own[modality].encode_batch(items)
        meter.took(f"encode.{modality}", time.perf_counter() - began)
        meter.count(f"encoded.{modality}", len(items))
        return entries

    cache = EncodingCache(encode, size=config.cache_size, budget=config.memory_budget // 2)
    modes = Modes(cache, workers=config.num_workers, batch_size=config.batch_size)
    shown = Shown(width, dims)
    return Opened(config, own, fusion, shown, remembered, fingerprint_of(own, name), cache, modes)
