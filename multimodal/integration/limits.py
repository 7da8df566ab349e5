"""Pictures read at no more than a given size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.embeddings.image import SIDE, read_pixels
from multimodal.errors import InputError
from multimodal.types import ModalityEmbedding


class LimitedPictures:
    """An encoder of pictures that sees none larger than `size` (height, width). Thread-safe."""

    def __init__(self, encoder: Any, size: tuple[int, int]) -> None:
        self._encoder, self._size = encoder, size
        self.fingerprint = f"{encoder.fingerprint}/pixels-{size[0]}x{size[1]}"

    @property
    def vocabulary(self) -> Any:
        return self._encoder.vocabulary

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """As the encoder's own."""
        if isinstance(items, (str, bytes)):
            raise InputError("pictures come as a list of arrays or tensors")
        entries: list[ModalityEmbedding] = self._encoder.encode_batch([self._shrunk(item) for item in items])
        return entries

    def _shrunk(self, item: Any) -> Any:
        try:
            return shrunk(read_pixels(item), self._size)
        except InputError:
            return item  # the encoder says what is wrong with it


def limited(encoder: Any, size: tuple[int, int]) -> Any:
    """The encoder itself where it looks at no more than `size` anyway."""
    side = getattr(encoder, "side", None) or SIDE
    return encoder if min(size) >= side else LimitedPictures(encoder, size)


def shrunk(pixels: NDArray[np.uint8], size: tuple[int, int], *, keep_shape: bool = False) -> NDArray[np.uint8]:
    """(H, W, 3) -> at most `size` (height, width): each side for itself, or with the picture's shape kept.

    Halved by averaging while that leaves enough, then interpolated, as the encoder itself does.
    """
    import cv2

    height, width = pixels.shape[:2]
    if keep_shape:
        scale = min(1.0, size[0] / height, size[1] / width)
        target = max(1, round(height * scale)), max(1, round(width * scale))
    else:
        target = min(height, size[0]), min(width, size[1])
    try:
        while pixels.shape[0] >= 2 * target[0] and pixels.shape[1] >= 2 * target[1]:
            half = pixels.shape[0] // 2, pixels.shape[1] // 2
            even = np.ascontiguousarray(pixels[: 2 * half[0], : 2 * half[1]])
            pixels = np.asarray(cv2.resize(even, half[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        if pixels.shape[:2] != target:
            resized = cv2.resize(np.ascontiguousarray(pixels), target[::-1], interpolation=cv2.INTER_LINEAR)
            pixels = np.asarray(resized, np.uint8)
    except cv2.error as error:
        raise InputError(f"a picture of {width}x{height} cannot be resized: {error}") from error
    return pixels
