"""Two modalities at a time, in one call."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from multimodal.errors import InputError
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.processor import UnifiedMultimodalProcessor
from multimodal.types import MultimodalInput, MultimodalOutput


class _Pair:
    """What the two share: a processor, opened and closed."""

    def __init__(
        self, config: IntegrationConfig | None = None, *, processor: UnifiedMultimodalProcessor | None = None
    ) -> None:
        self._own = processor is None
        self.processor = UnifiedMultimodalProcessor(config or IntegrationConfig()) if processor is None else processor

    def initialize(self) -> None:
        """Open the models; a second call does nothing. ModelMissingError where one has not been pulled."""
        self.processor.initialize()

    def close(self) -> None:
        """Let go of the models, unless they are another's."""
        if self._own:
            self.processor.close()

    def __enter__(self) -> Self:
        self.initialize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class VisionLanguageIntegration(_Pair):
    """Words and a picture: what they mean together, and where in the picture the words look.

    Args:
        config: `IntegrationConfig()` where None.
        processor: one that is there already, instead of an own one; its configuration counts and it is not closed here.
    """

    def process_vision_language(self, text_input: str, image_input: Any) -> dict[str, Any]:
        """
        Returns:
            ``fused_representation`` (1, shared_embedding_dim), ``attention_weights`` by ``text->image`` (rows, columns) over
            the picture's cells, summing to 1, and ``modality_features``, the `ModalityEmbedding` of "text" and "image".

        Raises:
            InputError: one of the two is missing or cannot be read.
        """
        _both(text_input=text_input, image_input=image_input)
        return _told(self.processor.process(MultimodalInput(text=text_input, image=image_input)))


class AudioVisualIntegration(_Pair):
    """A sound and a picture: what they mean together, and where in the picture the sound looks.

    Args: as `VisionLanguageIntegration`.
    """

    def process_audio_visual(self, audio_input: Any, image_input: Any, sample_rate: int = 16_000) -> dict[str, Any]:
        """As `VisionLanguageIntegration.process_vision_language`, of "audio" and "image"."""
        _both(audio_input=audio_input, image_input=image_input)
        given = MultimodalInput(audio=audio_input, image=image_input, sample_rate=sample_rate)
        return _told(self.processor.process(given))


def _both(**given: Any) -> None:
    if missing := [name for name, value in given.items() if value is None]:
        raise InputError(f"{' and '.join(missing)} not given; a pair needs both, `process` takes one alone")


def _told(output: MultimodalOutput) -> dict[str, Any]:
    return {
        "fused_representation": output.unified_representation.representation,
        "attention_weights": dict(output.attention_analysis.weights),
        "modality_features": dict(output.modality_specific_outputs),
    }
