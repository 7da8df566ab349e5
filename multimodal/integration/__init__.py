"""Encoders and fusion behind one object."""

from multimodal.integration.config import IntegrationConfig
from multimodal.integration.processor import UnifiedMultimodalProcessor

__all__ = ["IntegrationConfig", "UnifiedMultimodalProcessor"]
