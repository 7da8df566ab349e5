"""The canonical form of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SourceError

MAX_PIXELS = 64_000_000


def to_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of a picture (height, width, 3) in BGR. Raises SourceError where the encoder refuses it."""
    import cv2

    options: Any = [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        done, jpeg = cv2.imencode(".jpg", image, options)
    except cv2.error as error:
        raise SourceError(f"a picture of shape {image.shape} cannot be made JPEG") from error
    if not done:
        raise SourceError(f"a picture of shape {image.shape} cannot be made JPEG")
    return jpeg.tobytes()


def check_quality(stream: str, quality: int) -> int:
    """Raises SourceError where `quality` is none."""
    if not 1 <= quality <= 100:
        raise SourceError(f"{stream}: `quality` must be 1 to 100, got {quality}")
    return quality


class Pace:
    """Lets through at most `fps` pictures a second, by event time: the first of each slot of the clock.

    By slots and not by distance, so that a camera that jitters keeps its average.
    """

    def __init__(self, fps: float | None) -> None:
        self._period = None if fps is None else max(1, round(1e9 / fps))
        self._slot: int | None = None

    def admits(self, time: int) -> bool:
        """Whether the picture of this time (ns) is let through."""
        if self._period is None:
            return True
        slot, self._slot = self._slot, time // self._period
        return slot != self._slot


def check_fps(stream: str, fps: float | None) -> float | None:
    """Raises SourceError where `fps` is no rate."""
    if fps is not None and not 0 < fps <= 1e6:
        raise SourceError(f"{stream}: `fps` must be above 0, got {fps}")
    return fps
