"""How a processor is."""

from __future__ import annotations

from typing import Any

from multimodal.embeddings.runtime import low_precision
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.models import device_of
from multimodal.integration.opened import Opened


def health_of(config: IntegrationConfig, opened: Opened | None, *, closed: bool, last_error: str | None) -> dict[str, Any]:
    """See `UnifiedMultimodalProcessor.health`."""
    device = device_of(config)
    precision = "float32"
    if config.mixed_precision:
        none = f"float32: this {device} multiplies no 16-bit numbers, so mixed_precision changes nothing here"
        precision = low_precision(device) or none
    return {
        "status": "closed" if closed else "ready" if opened is not None else "not initialized",
        "device": device,
        "precision": precision,
        "fingerprint": None if opened is None else opened.fingerprint,
        "fusion": config.fusion_method,
        "trained": opened is not None and opened.trained,
        "real_time": config.enable_real_time_processing,
        "last_error": last_error,
    }
