"""Encoders: text, pictures and sound into one shared space of 384 dimensions; maps between spaces, and their measures."""

from multimodal.embeddings.audio import AudioModalityEncoder
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.image import ImageModalityEncoder
from multimodal.embeddings.join import JoinedSpaces
from multimodal.embeddings.measures import CoherenceBaseline
from multimodal.embeddings.projection import CrossModalProjection
from multimodal.embeddings.space import SharedEmbeddingSpace
from multimodal.embeddings.text import TextModalityEncoder

__all__ = [
    "AudioModalityEncoder",
    "CoherenceBaseline",
    "CrossModalProjection",
    "ImageModalityEncoder",
    "JoinedSpaces",
    "SharedEmbeddingSpace",
    "TextModalityEncoder",
    "Vocabulary",
]
