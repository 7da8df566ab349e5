"""The one contract, run over a replay; and the contract itself, which must catch sources that break it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import numpy as np
import pytest

from connectors.blocking import in_thread
from connectors.recording.replay import open_recording
from connectors.recording.writer import RecordingWriter
from pipelines.errors import SourceError
from pipelines.packet import Bound, Event, Gap, Packet
from pipelines.protocols import Overflow
from pipelines.testing.source_contract import check_source

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def recording(folder: Path) -> Path:
    path = folder / "a.mcap"
    with path.open("wb") as file:
        writer = RecordingWriter(file, chunk_bytes=500)
        for number in range(100):
            writer.write(Packet("camera", "image", number, JPEG), number)
            writer.write(Packet("mic", "audio", number, np.full((9, 1), number, np.int16), 16_000), number)
            writer.write(Bound("notes", number), number)
            writer.write(Packet("notes", "text", number, f"line {number}"), number)
            writer.write(Gap("mic", number, number + 1, "xrun"), number)
        writer.close()
    return path


@pytest.mark.parametrize(("stream", "count"), [("camera", 100), ("mic", 200), ("notes", 200)])
async def test_a_replay_keeps_the_contract(tmp_path: Path, stream: str, count: int) -> None:
    path = recording(tmp_path)
    broken = tmp_path / "broken.mcap"
    content = bytearray(path.read_bytes())
    content[content.index(b"zstd") + 40] ^= 0xFF
    broken.write_bytes(content[: len(content) * 2 // 3])
    events = await check_source(
        lambda: open_recording(path).source(stream), faulty=lambda: open_recording(broken).source(stream)
    )
    assert len(events) == count


@pytest.mark.parametrize("module", ["text", "stdin", "camera", "media"])
def test_importing_a_source_loads_no_library_before_it_is_used(module: str) -> None:
    libraries = {"cv2", "av", "mcap", "google.protobuf", "torch"}
    code = f"import sys, connectors.sources.{module}; print(*{libraries} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split() == []


class Broken:
    """A source that breaks one promise."""

    overflow: Overflow = "block"

    def __init__(self, events: Callable[[], AsyncGenerator[Event, None]]) -> None:
        self._events = events

    def events(self) -> AsyncGenerator[Event, None]:
        return self._events()


def giving(*events: Event) -> Callable[[], AsyncGenerator[Event, None]]:
    async def generate() -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    return generate


NOTE = Packet("notes", "text", 5, "tea")


@pytest.mark.parametrize(
    ("events", "promise"),
    [
        ((), "no packet"),
        ((Packet("a", "image", 5, b"GIF89a"),), "no JPEG"),
        ((Packet("a", "audio", 5, np.zeros((3, 1), np.float32), 16_000),), "no int16"),  # type: ignore[arg-type]
        ((Packet("a", "audio", 5, np.zeros((3, 1), np.int16)),), "no rate"),
        ((Packet("a", "text", 5, b"bytes"),), "no string"),
        ((Packet("a", "text", 5.0, "tea"),), "time of type float"),  # type: ignore[arg-type]
        ((NOTE, NOTE), "sequence 0 comes after 0"),
        ((NOTE, Packet("b", "text", 5, "tea", None, 1)), "events of 'notes' and of 'b'"),
        ((Bound("notes", 6), NOTE), "breaks the Bound at 6"),
        ((NOTE, Gap("notes", 9, 8, "lost")), "ends before it starts"),
        ((NOTE, Gap("notes", 8, 9, "")), "no reason"),
    ],
)
async def test_the_contract_catches_events_that_are_not_canonical(events: tuple[Event, ...], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_source(lambda: Broken(giving(*events)))


async def test_the_contract_catches_a_thread_that_is_left_behind() -> None:
    stop = threading.Event()

    async def leaky() -> AsyncGenerator[Event, None]:
        threading.Thread(target=stop.wait, name="forgotten").start()
        yield NOTE

    try:
        with pytest.raises(AssertionError, match="forgotten"):
            await check_source(lambda: Broken(leaky), patience=0.2)
    finally:
        stop.set()


async def test_the_contract_catches_an_error_outside_the_tree_and_a_swallowed_cancellation() -> None:
    async def failing() -> AsyncGenerator[Event, None]:
        yield NOTE
        raise KeyError("frame")

    with pytest.raises(AssertionError, match="no SensoriumError"):
        await check_source(lambda: Broken(giving(NOTE)), faulty=lambda: Broken(failing))

    async def stubborn() -> AsyncGenerator[Event, None]:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass
        yield NOTE

    with pytest.raises(AssertionError, match="cancel"):
        await check_source(lambda: Broken(stubborn), patience=0.2)


async def test_an_error_of_a_blocking_generator_is_raised_where_its_items_are_read() -> None:
    def steps():  # type: ignore[no-untyped-def]
        yield [1, 2]
        raise SourceError("unplugged")

    got = []
    with pytest.raises(SourceError, match="unplugged"):
        async for item in in_thread(steps):
            got.append(item)  # noqa: PERF401
    assert got == [1, 2]
