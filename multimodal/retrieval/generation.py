"""The generators, where the library promises them; they live in `multimodal.generation`."""

from multimodal.generation.pictures import GeneratedPicture, TextToImageGenerator
from multimodal.generation.sounds import GeneratedSound, ImageToAudioGenerator

__all__ = ["GeneratedPicture", "GeneratedSound", "ImageToAudioGenerator", "TextToImageGenerator"]
