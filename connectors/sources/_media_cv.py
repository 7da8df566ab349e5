"""Pictures of a media file through OpenCV, where PyAV is not installed. OpenCV knows no sound."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from connectors.sources._jpeg import MAX_PIXELS, Pace, to_jpeg
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, Event, Packet


def pictures(
    stream: str, path: Path, start: int, fps: float | None, quality: int
) -> Generator[Sequence[Event], None, None]:
    """Raises SourceError, at the end where the file is damaged."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not capture.isOpened():
            raise SourceError(f"{stream}: {path} is no video that can be read")
        if pixels > MAX_PIXELS:
            raise SourceError(f"{stream}: {path} has pictures of {pixels:.0f} pixels; {MAX_PIXELS} are the limit")
        pace, sent, seen = Pace(fps), 0, 0
        while capture.grab():
            seen += 1
            time = round(capture.get(cv2.CAP_PROP_POS_MSEC) * MILLISECOND)
            if not pace.admits(time):
                continue
            done, image = capture.retrieve()
            if done:
                yield [Packet(stream, "image", start + time, to_jpeg(image, quality), None, sent)]  # type: ignore[arg-type]
                sent += 1
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if seen < 0.9 * expected:
            raise SourceError(f"{stream}: {path} is damaged: {seen} of {expected} pictures could be read")
    finally:
        capture.release()
