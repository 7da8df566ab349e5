"""A camera, through OpenCV."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

from connectors.blocking import Outlet, from_thread
from connectors.sources._jpeg import Pace, check_fps, check_quality, to_jpeg
from pipelines.clock import Clock
from pipelines.errors import SourceError
from pipelines.packet import SECOND, Event, Packet
from pipelines.protocols import Overflow

_FAILURES = 10


class Capture(Protocol):
    """What we use of cv2.VideoCapture, and what a stand-in must be."""

    def grab(self) -> bool:
        """Wait for the next picture and take it; False where there is none."""
        ...

    def retrieve(self) -> tuple[bool, Any]:
        """Decode the picture that was taken: whether it could be, and (height, width, 3) uint8 in BGR."""
        ...

    def release(self) -> None: ...


class Camera:
    """Pictures of a camera as JPEG, always the newest.

    A thread takes every picture as it comes and stamps it right after the grab, by the clock and never smoothed. Whoever is
    slower than the camera gets the newest one; the others are counted in `passed_over`. A camera that is missing, stops, or
    says nothing for `silence` ends in a SourceError; `events` opens it again.

    Options:
        device: number of a camera (0 is /dev/video0), a device path, or an address OpenCV understands (rtsp://...).
        fps: at most so many pictures a second; empty: all.
        width, height: asked of the camera, in pixels; it may choose others.
        quality: of the JPEG, 1 to 100.
        silence: how long no picture may come, nanoseconds.
    """

    overflow: Overflow = "keep_latest"
    requires = ("cv2",)

    def __init__(
        self,
        stream: str,
        *,
        clock: Clock,
        device: int | str = 0,
        fps: float | None = 10.0,
        width: int | None = None,
        height: int | None = None,
        quality: int = 90,
        silence: int = 5 * SECOND,
    ) -> None:
        self.stream = stream
        self.passed_over = 0
        """Pictures that were taken and decoded, and replaced by a newer one before anybody asked."""
        self._clock = clock
        self._device = device
        self._fps = check_fps(stream, fps)
        self._quality = check_quality(stream, quality)
        self._silence = silence
        self._opener: Callable[[], Capture] = lambda: _open(stream, device, width, height)

    @classmethod
    def over(cls, stream: str, opener: Callable[[], Capture], *, clock: Clock, **options: Any) -> Camera:
        """A camera that takes its pictures from what `opener` opens, in the camera's thread."""
        camera = cls(stream, clock=clock, **options)
        camera._opener = opener
        return camera

    async def events(self) -> AsyncGenerator[Event, None]:
        """Packets numbered from 0. Raises SourceError."""
        newest = _Newest()

        def drain(outlet: Outlet[None]) -> None:
            self._drain(outlet, newest)

        async with aclosing(from_thread(drain)) as signals:
            sequence = 0
            while await self._next(signals):
                taken = newest.take()
                if taken is None:
                    continue
                time, image = taken
                jpeg = await asyncio.to_thread(to_jpeg, image, self._quality)
                yield Packet(self.stream, "image", time, jpeg, None, sequence)
                sequence += 1

    async def _next(self, signals: AsyncGenerator[None, None]) -> bool:
        """Wait for a picture; False where the device has ended by itself."""
        try:
            async with asyncio.timeout(self._silence / SECOND):
                return await anext(signals, _ENDED) is not _ENDED
        except TimeoutError:
            raise SourceError(
                f"{self.stream}: camera {self._device} has given no picture for {self._silence / SECOND:g} s; "
                "is it plugged in, and used by nobody else?"
            ) from None

    def _drain(self, outlet: Outlet[None], newest: _Newest) -> None:
        """The thread: one signal for each picture that found the place of the newest one empty."""
        capture = self._opener()
        pace = Pace(self._fps)
        failures = 0
        try:
            while not outlet.closed:
                if not capture.grab():
                    failures += 1
                    if failures >= _FAILURES:
                        raise SourceError(
                            f"{self.stream}: camera {self._device} has stopped giving pictures; is it unplugged?"
                        )
                    continue
                time = self._clock.now()
                failures = 0
                if not pace.admits(time):
                    continue
                done, image = capture.retrieve()
                if done and image is not None:
                    if newest.put(time, image):
                        outlet.put(None)
                    else:
                        self.passed_over += 1
        finally:
            capture.release()


_ENDED: Any = object()


class _Newest:
    """A place for one picture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[int, Any] | None = None

    def put(self, time: int, image: Any) -> bool:
        """Whether the place was empty."""
        with self._lock:
            empty, self._held = self._held is None, (time, image)
            return empty

    def take(self) -> tuple[int, Any] | None:
        with self._lock:
            held, self._held = self._held, None
            return held


def _open(stream: str, device: int | str, width: int | None, height: int | None) -> Capture:
    """Raises SourceError that says what is missing."""
    import cv2

    path = f"/dev/video{device}" if isinstance(device, int) else device
    if path.startswith("/dev/"):
        there = sorted(str(found) for found in Path("/dev").glob("video*"))
        if not Path(path).exists():
            known = f"there is {', '.join(there)}" if there else "this machine has no camera that Linux knows"
            raise SourceError(f"{stream}: {path} not found; {known}")
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise SourceError(
                f"{stream}: {path} cannot be opened: {error.strerror}; is the user in the group `video`?"
            ) from error
    capture = cv2.VideoCapture(device)
    for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height)):
        if value is not None:
            capture.set(key, value)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"{stream}: {path} gives no pictures that OpenCV can read; is it a camera, and used by nobody else?"
        )
    return capture
