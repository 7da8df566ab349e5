"""What a user would lose: the newest picture, its time, and a plain word when the camera is gone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.sources.camera import Camera
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, SECOND, Packet
from pipelines.testing import SettableClock
from pipelines.testing.source_contract import check_source

START = 1_760_000_000 * SECOND


class Film:
    """Stands for cv2.VideoCapture: grey pictures, `step` ns apart; picture n is as bright as n.

    `grab` waits for a turn where turns are dealt by hand, and fails when the film is over.
    """

    def __init__(
        self, clock: SettableClock, pictures: int, *, step: int = 100 * MILLISECOND, by_hand: bool = False
    ) -> None:
        self._clock = clock
        self._pictures = pictures
        self._step = step
        self._number = -1
        self.turns = threading.Semaphore(0 if by_hand else pictures + 100)
        self.grabbed = threading.Semaphore(0)
        self.released = threading.Event()

    def grab(self) -> bool:
        if not self.turns.acquire(timeout=5):
            return False
        self._number += 1
        self._clock.advance(self._step)
        self.grabbed.release()
        return self._number < self._pictures

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((48, 64, 3), self._number, np.uint8)

    def release(self) -> None:
        self.released.set()


def brightness(packet: object) -> int:
    import cv2

    assert isinstance(packet, Packet)
    image = cv2.imdecode(np.frombuffer(packet.payload, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[call-overload]
    assert image.shape == (48, 64, 3)
    return int(image.mean().round())


async def test_a_picture_is_stamped_after_the_grab_and_is_jpeg() -> None:
    clock = SettableClock(START)
    film = Film(clock, 3, by_hand=True)
    stream = Camera.over("camera", lambda: film, clock=clock, fps=None).events()
    for number in range(3):
        film.turns.release()
        packet = await anext(stream)
        assert (packet.timestamp, brightness(packet)) == (START + (number + 1) * 100 * MILLISECOND, number)  # type: ignore[union-attr]
        assert packet.sequence == number  # type: ignore[union-attr]
    film.turns.release(20)
    with pytest.raises(SourceError, match="stopped giving pictures; is it unplugged"):
        await anext(stream)
    assert film.released.is_set()


async def test_whoever_is_slow_gets_the_newest_picture() -> None:
    clock = SettableClock(START)
    film = Film(clock, 8, by_hand=True)
    camera = Camera.over("camera", lambda: film, clock=clock, fps=None)
    stream = camera.events()
    film.turns.release()
    assert brightness(await anext(stream)) == 0
    film.turns.release(7)
    await asyncio.to_thread(lambda: [film.grabbed.acquire() for _ in range(8)])
    film.turns.release()  # the eighth grab fails: when it has been made, the seventh picture is in its place
    await asyncio.to_thread(film.grabbed.acquire)
    last = await anext(stream)
    assert brightness(last) == 7
    assert last.sequence == 1  # type: ignore[union-attr]
    assert camera.passed_over == 6
    film.turns.release(20)
    await stream.aclose()


async def test_fps_is_kept_on_average_by_a_camera_that_is_faster() -> None:
    clock = SettableClock(START - 1)
    film = Film(clock, 90, step=SECOND // 30, by_hand=True)
    stream = Camera.over("camera", lambda: film, clock=clock, fps=10.0).events()
    slots = []
    film.turns.release()
    reading = asyncio.ensure_future(anext(stream))
    for _ in range(89):
        await asyncio.to_thread(film.grabbed.acquire)
        if reading.done() or clock.time // (SECOND // 10) != (clock.time - SECOND // 30) // (SECOND // 10):
            slots.append((await reading).timestamp // (SECOND // 10))  # type: ignore[union-attr]
            reading = asyncio.ensure_future(anext(stream))
        film.turns.release()
    reading.cancel()
    film.turns.release(20)
    assert slots == sorted(set(slots))
    assert 29 <= len(slots) <= 31
    await asyncio.wait([reading])
    await stream.aclose()


async def test_a_camera_that_falls_silent_is_told_and_left_behind() -> None:
    clock = SettableClock(START)
    film = Film(clock, 8, by_hand=True)
    film.turns.release()
    stream = Camera.over("camera", lambda: film, clock=clock, fps=None, silence=20 * MILLISECOND).events()
    await anext(stream)
    closing = asyncio.get_running_loop().call_later(0.1, film.turns.release, 20)
    with pytest.raises(SourceError, match=r"camera 0 has given no picture for 0\.02 s"):
        await anext(stream)
    closing.cancel()


async def test_a_missing_camera_says_what_there_is() -> None:
    stream = Camera("camera", clock=SettableClock(), device="/dev/video-none").events()
    with pytest.raises(SourceError, match=r"camera: /dev/video-none not found; (there is|this machine has no camera)"):
        await anext(stream)
    with pytest.raises(SourceError, match="camera: /dev/video97 not found"):
        await anext(Camera("camera", clock=SettableClock(), device=97).events())


async def test_what_is_no_camera_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gives no pictures that OpenCV can read"):
        await anext(Camera("camera", clock=SettableClock(), device=str(tmp_path / "no.avi")).events())
    with pytest.raises(SourceError, match="`fps` must be above 0, got 0"):
        Camera("camera", clock=SettableClock(), fps=0)
    with pytest.raises(SourceError, match="`quality` must be 1 to 100, got 0"):
        Camera("camera", clock=SettableClock(), quality=0)


async def test_a_real_capture_gives_pictures(tmp_path: Path) -> None:
    """OpenCV itself, over a film on disk instead of a device."""
    import cv2

    path = str(tmp_path / "film.avi")
    film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(30):
        film.write(np.full((48, 64, 3), number * 5, np.uint8))
    film.release()
    got = []
    with pytest.raises(SourceError, match="stopped giving pictures"):
        async for event in Camera("camera", clock=SettableClock(START), device=path, fps=None, width=64).events():
            got.append(event)  # noqa: PERF401
    assert got
    assert all(brightness(packet) <= 148 for packet in got)


async def test_the_camera_keeps_the_contract() -> None:
    clock = SettableClock(START)
    await check_source(
        lambda: Camera.over("camera", lambda: Film(clock, 10_000_000), clock=clock, fps=None),
        faulty=lambda: Camera("camera", clock=clock, device="/dev/video-none"),
        ends=False,
    )
