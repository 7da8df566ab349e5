"""Words and pictures, or sounds and pictures: each is found by the other, and by its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from multimodal.retrieval.bridges import bridge_of, read_projection
from multimodal.retrieval.collection import Vectors
from multimodal.retrieval.retriever import Interval, RetrievalResult, Retriever, Shipped
from multimodal.retrieval.saving import Reader
from multimodal.types import ModalityEmbedding, ModalityType

if TYPE_CHECKING:
    from multimodal.embeddings import CrossModalProjection

TEXT, IMAGE, AUDIO = ModalityType.TEXT, ModalityType.IMAGE, ModalityType.AUDIO


class VisionLanguageRetrieval(Retriever):
    """Pictures found by words and words by pictures. See `Retriever` for what all retrievers do.

    Args:
        vision_dim, language_dim: of the embeddings of pictures and of words.
        projection: between the two spaces, where they are not one: a `multimodal.embeddings.CrossModalProjection(vision_dim,
            language_dim)` fitted to pairs, or a semi-orthogonal matrix (language_dim, vision_dim). Without one, questions
            across need equal dimensions, and an encoder of both that makes them comparable.
        calibration: "embedded" for what was shipped for the encoders of this package: words to words in 384 dimensions and
            pictures to pictures in their own 1280.

    Raises:
        ConfigError: dimensions below 1, or a projection between others.
    """

    kind = "vision_language"

    def __init__(
        self,
        vision_dim: int = 512,
        language_dim: int = 512,
        *,
        projection: CrossModalProjection | Tensor | None = None,
        calibration: Shipped | None = None,
    ) -> None:
        bridge = bridge_of(projection, (IMAGE, vision_dim), (TEXT, language_dim))
        options = {"vision_dim": vision_dim, "language_dim": language_dim}
        super().__init__({TEXT: language_dim, IMAGE: vision_dim}, bridge, options, calibration)

    def index_text(
        self, text_data: Any, language_embedding: Vectors, metadata: Mapping[str, Any] | None = None, *,
        timestamp: int | None = None,
    ) -> int:  # fmt: skip
        """Index words, embedding (language_dim,); returns a key for `delete` and `calibrate`."""
        return self._index(TEXT, text_data, language_embedding, metadata, timestamp)

    def index_image(
        self, image_data: Any, vision_embedding: Vectors, metadata: Mapping[str, Any] | None = None, *,
        timestamp: int | None = None,
    ) -> int:  # fmt: skip
        """Index a picture, or whatever stands for it, embedding (vision_dim,); returns a key."""
        return self._index(IMAGE, image_data, vision_embedding, metadata, timestamp)

    def retrieve_image_from_text(
        self, query_text_embedding: Vectors, top_k: int = 5, *, between: Interval | None = None
    ) -> list[RetrievalResult]:
        """The `top_k` pictures nearest to words at (language_dim,), best first."""
        return self._answers(query_text_embedding, TEXT, IMAGE, top_k, between)

    def retrieve_text_from_image(
        self, query_image_embedding: Vectors, top_k: int = 5, *, between: Interval | None = None
    ) -> list[RetrievalResult]:
        """The `top_k` words nearest to a picture at (vision_dim,), best first."""
        return self._answers(query_image_embedding, IMAGE, TEXT, top_k, between)

    def retrieve(
        self, query: ModalityEmbedding, target_modality: ModalityType | str, top_k: int = 5, *,
        between: Interval | None = None,
    ) -> list[RetrievalResult]:  # fmt: skip
        """The `top_k` of either modality nearest to an embedding of either, best first."""
        return self._answers(query, self._source(query, None), self._collection(target_modality).modality, top_k, between)

    @classmethod
    def _construct(cls, source: Reader, options: dict[str, Any]) -> Self:
        return cls(**options, projection=read_projection(source, options["vision_dim"], options["language_dim"]))


class AudioVisualRetrieval(Retriever):
    """Pictures found by sounds and sounds by pictures. See `Retriever` for what all retrievers do.

    Args:
        audio_dim, vision_dim: of the embeddings of sounds and of pictures.
        projection: as for `VisionLanguageRetrieval`, from sounds to pictures: `CrossModalProjection(audio_dim, vision_dim)`
            or a matrix (vision_dim, audio_dim).
        calibration: "embedded" for sounds to sounds in their own 1024 dimensions and pictures to pictures in 1280.

    Raises:
        ConfigError: dimensions below 1, or a projection between others.
    """

    kind = "audio_visual"

    def __init__(
        self,
        audio_dim: int = 512,
        vision_dim: int = 512,
        *,
        projection: CrossModalProjection | Tensor | None = None,
        calibration: Shipped | None = None,
    ) -> None:
        bridge = bridge_of(projection, (AUDIO, audio_dim), (IMAGE, vision_dim))
        options = {"audio_dim": audio_dim, "vision_dim": vision_dim}
        super().__init__({AUDIO: audio_dim, IMAGE: vision_dim}, bridge, options, calibration)

    def index_audio(
        self, audio_data: Any, audio_embedding: Vectors, metadata: Mapping[str, Any] | None = None, *,
        timestamp: int | None = None,
    ) -> int:  # fmt: skip
        """Index a sound, or whatever stands for it, embedding (audio_dim,); returns a key."""
        return self._index(AUDIO, audio_data, audio_embedding, metadata, timestamp)

    def index_image(
        self, image_data: Any, vision_embedding: Vectors, metadata: Mapping[str, Any] | None = None, *,
        timestamp: int | None = None,
    ) -> int:  # fmt: skip
        """Index a picture, or whatever stands for it, embedding (vision_dim,); returns a key."""
        return self._index(IMAGE, image_data, vision_embedding, metadata, timestamp)

    def retrieve_image_from_audio(
        self, query_audio_embedding: Vectors, top_k: int = 5, *, between: Interval | None = None
    ) -> list[RetrievalResult]:
        """The `top_k` pictures nearest to a sound at (audio_dim,), best first."""
        return self._answers(query_audio_embedding, AUDIO, IMAGE, top_k, between)

    def retrieve_audio_from_image(
        self, query_image_embedding: Vectors, top_k: int = 5, *, between: Interval | None = None
    ) -> list[RetrievalResult]:
        """The `top_k` sounds nearest to a picture at (vision_dim,), best first."""
        return self._answers(query_image_embedding, IMAGE, AUDIO, top_k, between)

    def retrieve(
        self, query: ModalityEmbedding, target_modality: ModalityType | str, top_k: int = 5, *,
        between: Interval | None = None,
    ) -> list[RetrievalResult]:  # fmt: skip
        """The `top_k` of either modality nearest to an embedding of either, best first."""
        return self._answers(query, self._source(query, None), self._collection(target_modality).modality, top_k, between)

    @classmethod
    def _construct(cls, source: Reader, options: dict[str, Any]) -> Self:
        return cls(**options, projection=read_projection(source, options["audio_dim"], options["vision_dim"]))
