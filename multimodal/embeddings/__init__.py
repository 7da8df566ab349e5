"""Encoders: text, pictures and sound into one shared space of 384 dimensions."""

from multimodal.embeddings.audio import AudioModalityEncoder
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.image import ImageModalityEncoder
from multimodal.embeddings.text import TextModalityEncoder

__all__ = ["AudioModalityEncoder", "ImageModalityEncoder", "TextModalityEncoder", "Vocabulary"]
