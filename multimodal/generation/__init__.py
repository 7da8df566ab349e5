"""From the shared space back to pictures and sounds: trained here and offline, or through a checkpoint of others.

Names are loaded when they are first used. `docs/generation.md` says what was learned from what, and shows what it makes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multimodal.generation.pictures import GeneratedPicture, TextToImageGenerator
    from multimodal.generation.sounds import GeneratedSound, ImageToAudioGenerator

_HOMES = {
    "GeneratedPicture": "pictures",
    "GeneratedSound": "sounds",
    "ImageToAudioGenerator": "sounds",
    "TextToImageGenerator": "pictures",
}

__all__ = ["GeneratedPicture", "GeneratedSound", "ImageToAudioGenerator", "TextToImageGenerator"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
