"""Pictures from bytes: the size is read from the header first, so that no bomb is ever unpacked."""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 50_000_000
"""An 8K frame has 33 million."""

ENOUGH = 448
"""Pictures are decoded at 1/2, 1/4 or 1/8 where both sides stay at least this long: twice what the encoder looks at."""

_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})


class PictureError(ValueError):
    """Bytes that are no picture we read; the message says why."""


def decode(content: bytes) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of a JPEG. Raises PictureError."""
    height, width = jpeg_size(content)
    _check(height, width)
    shrink = next((f for f in (8, 4, 2) if min(height, width) >= ENOUGH * f), 1)
    return _decode(content, shrink)


def decode_any(content: bytes) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of any format OpenCV reads (JPEG, PNG, WebP, ...). Raises PictureError."""
    if not content or content[:2] == b"\xff\xd8":
        return decode(content)
    return _decode(content, 1)


def jpeg_size(content: bytes) -> tuple[int, int]:
    """(height, width) from the frame header of a JPEG (ITU-T T.81, B.2.2). Raises PictureError."""
    if content[:2] != b"\xff\xd8":
        raise PictureError("not a JPEG: it does not begin with FF D8" if content else "an empty picture")
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            raise PictureError("not a JPEG: no marker where one must be")
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return height, width
        else:
            at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    raise PictureError("a JPEG that ends before its frame header")


def encode(picture: NDArray[np.uint8], *, quality: int = 90) -> bytes:
    """JPEG of RGB (H, W, 3)."""
    cv2 = _cv2()
    done, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise PictureError("OpenCV could not write the JPEG")
    return bytes(content)


def _check(height: int, width: int) -> None:
    if height == 0 or width == 0:
        raise PictureError(f"a picture of {width}x{height}")
    if height * width > MAX_PIXELS:
        raise PictureError(f"a picture of {width}x{height}; the limit is {MAX_PIXELS // 1_000_000} million pixels")


def _decode(content: bytes, shrink: int) -> NDArray[np.uint8]:
    cv2 = _cv2()
    flag = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }[shrink]
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error as error:
        raise PictureError(f"OpenCV cannot decode it: {error.err}") from error
    if picture is None:
        raise PictureError("OpenCV cannot decode it")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _cv2() -> Any:
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))  # read by OpenCV when it decodes first
    import cv2

    return cv2
