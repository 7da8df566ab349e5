"""Encoders, fusion, memory and queue behind one object.

| file | what it holds |
|---|---|
| `config` | every option, refused by name where it is wrong |
| `processor` | the object |
| `modes` | sequential, parallel, batch |
| `strategies` | the fusion by ``fusion_method`` |
| `limits`, `shown`, `output` | pictures read at most so large; dimensions to show; what is handed out |
| `cache`, `remembered` | encodings of inputs that come again; moments to be found again |
| `realtime` | the bounded queue |
| `meter`, `saving`, `pairs` | counters; a processor on disk; two modalities in one call |
"""

from multimodal.integration.config import IntegrationConfig
from multimodal.integration.pairs import AudioVisualIntegration, VisionLanguageIntegration
from multimodal.integration.processor import UnifiedMultimodalProcessor
from multimodal.integration.realtime import RealTimeResult

__all__ = [
    "AudioVisualIntegration",
    "IntegrationConfig",
    "RealTimeResult",
    "UnifiedMultimodalProcessor",
    "VisionLanguageIntegration",
]
