"""Picture or sound of a media file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from connectors.blocking import in_thread
from connectors.sources._jpeg import check_fps, check_quality
from connectors.sources._times import instant
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, Event
from pipelines.protocols import Overflow


class MediaFile:
    """One track of a video or sound file: its pictures as JPEG, or its sound as int16.

    Event time is `start` plus the track's own presentation time, so that picture and sound of one file stay together; a
    container whose time begins above 0 (MPEG-TS) is counted from its beginning. Sound is stamped by counting samples from
    there, exactly; a hole in the track of more than 20 ms becomes a Gap and begins a new count. Pictures and sound are read
    through PyAV (extra `media`); without it pictures come through OpenCV, and sound is refused, saying what to install.

    A damaged file gives what can be read, and then a SourceError that says what could not. Every pass over `events` reads
    the file anew.

    Options:
        path: the file.
        track: `video` (its pictures) or `audio` (its sound).
        start: when it begins: nanoseconds since the epoch, or ISO 8601.
        fps: at most so many pictures a second, by event time; empty: all.
        quality: of the JPEG, 1 to 100.
        packet: how long one packet of sound is, nanoseconds.
    """

    overflow: Overflow = "block"

    def __init__(
        self,
        stream: str,
        *,
        path: Path,
        track: Literal["video", "audio"] = "video",
        start: int | str = 0,
        fps: float | None = None,
        quality: int = 90,
        packet: int = 100 * MILLISECOND,
    ) -> None:
        self.stream = stream
        self.path = Path(path)
        self.track = track
        self._fps = check_fps(stream, fps)
        self._quality = check_quality(stream, quality)
        self._packet = packet
        if packet < MILLISECOND:
            raise SourceError(f"{stream}: `packet` must be at least 1 ms, got {packet} ns")
        try:
            self._start = instant(start)
        except ValueError as error:
            raise SourceError(f"{stream}: `start` {error}") from error

    def events(self) -> AsyncGenerator[Event, None]:
        """Packets numbered from 0, and Gaps. Raises SourceError."""
        return in_thread(self._batches)

    def _batches(self) -> Generator[Sequence[Event], None, None]:
        try:
            if not self.path.is_file():
                raise SourceError(f"{self.stream}: {self.path} is not there, or is no file")
            with self.path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise SourceError(f"{self.stream}: {self.path} cannot be read: {error.strerror or error}") from error
        if find_spec("av") is not None:
            from connectors.sources import _media_av

            if self.track == "audio":
                yield from _media_av.sound(self.stream, self.path, self._start, self._packet)
            else:
                yield from _media_av.pictures(self.stream, self.path, self._start, self._fps, self._quality)
        elif self.track == "audio":
            raise SourceError(f"{self.stream}: the sound of a media file needs PyAV; pip install 'sensorium[media]'")
        else:
            from connectors.sources import _media_cv

            yield from _media_cv.pictures(self.stream, self.path, self._start, self._fps, self._quality)
