"""Retrievers by name."""

from __future__ import annotations

from typing import Any

from multimodal.errors import ConfigError
from multimodal.retrieval.cross_modal import AudioVisualRetrieval, VisionLanguageRetrieval
from multimodal.retrieval.retriever import Retriever
from multimodal.retrieval.semantic import SemanticSimilarityRetriever

RETRIEVERS: dict[str, type[Retriever]] = {
    kind.kind: kind for kind in (SemanticSimilarityRetriever, VisionLanguageRetrieval, AudioVisualRetrieval)
}


def create_retriever(name: str, **options: Any) -> Retriever:
    """A retriever by its name, with the options of its class.

    Raises:
        ConfigError: a name that is not known, or an option that the retriever does not have.
    """
    if name not in RETRIEVERS:
        raise ConfigError(f"there is no retriever {name!r}, expected one of {', '.join(RETRIEVERS)}")
    try:
        return RETRIEVERS[name](**options)
    except TypeError as error:
        raise ConfigError(f"retriever {name!r}: {error}") from error
