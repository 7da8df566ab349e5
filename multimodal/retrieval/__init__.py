"""What was indexed, found again by words, pictures and sounds, with what each answer is worth; and generation from words.

Names are loaded when they are first used: the index alone does not bring the generators, nor the generators the graphs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multimodal.retrieval.confidence import CalibrationFit, ScoreCalibration, expected_calibration_error
    from multimodal.retrieval.create import create_retriever
    from multimodal.retrieval.cross_modal import AudioVisualRetrieval, VisionLanguageRetrieval
    from multimodal.retrieval.generation import ImageToAudioGenerator, TextToImageGenerator
    from multimodal.retrieval.index import ExactIndex, Hit
    from multimodal.retrieval.retriever import RetrievalResult, Retriever
    from multimodal.retrieval.segments import SegmentedIndex
    from multimodal.retrieval.semantic import SemanticSimilarityRetriever
    from multimodal.retrieval.similarity import LearnedSimilarity, SimilarityFit

_HOMES = {
    "AudioVisualRetrieval": "cross_modal",
    "CalibrationFit": "confidence",
    "ExactIndex": "index",
    "Hit": "index",
    "ImageToAudioGenerator": "generation",
    "LearnedSimilarity": "similarity",
    "RetrievalResult": "retriever",
    "Retriever": "retriever",
    "ScoreCalibration": "confidence",
    "SegmentedIndex": "segments",
    "SemanticSimilarityRetriever": "semantic",
    "SimilarityFit": "similarity",
    "TextToImageGenerator": "generation",
    "VisionLanguageRetrieval": "cross_modal",
    "create_retriever": "create",
    "expected_calibration_error": "confidence",
}

__all__ = [
    "AudioVisualRetrieval",
    "CalibrationFit",
    "ExactIndex",
    "Hit",
    "ImageToAudioGenerator",
    "LearnedSimilarity",
    "RetrievalResult",
    "Retriever",
    "ScoreCalibration",
    "SegmentedIndex",
    "SemanticSimilarityRetriever",
    "SimilarityFit",
    "TextToImageGenerator",
    "VisionLanguageRetrieval",
    "create_retriever",
    "expected_calibration_error",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
