"""A daemon that runs for months must not fill the memory nor fall ever further behind, however slow its mind is.

`make soak` runs these at full length; else they are shortened.
"""

import asyncio
import os
import threading
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from statistics import fmean

import numpy as np
import pytest

from pipelines.channel import ChannelLimits
from pipelines.group import Group
from pipelines.moment import Moment
from pipelines.packet import MILLISECOND, SECOND, Event, Gap, Packet
from pipelines.protocols import Encoded, Fused, Overflow
from pipelines.runner import Runner
from pipelines.stages.encode import EncodedWindow
from pipelines.testing import SettableClock, SmallMind
from pipelines.window import StreamTime, Windower

pytestmark = pytest.mark.soak

FULL = bool(os.environ.get("SENSORIUM_SOAK"))
STEP = 100 * MILLISECOND
LIMITS = ChannelLimits(items=40, bytes=200_000, age=3 * SECOND)
EPOCH = 1_760_000_000 * SECOND


class Device:
    """What it is given it hands on at once, as a camera does; None ends it."""

    def __init__(self, overflow: Overflow) -> None:
        self.overflow = overflow
        self._queue: asyncio.Queue[Packet | None] = asyncio.Queue()

    def emit(self, packet: Packet | None) -> None:
        self._queue.put_nowait(packet)

    async def events(self) -> AsyncGenerator[Event, None]:
        while (packet := await self._queue.get()) is not None:
            yield packet


class SlowMind(SmallMind):
    """Understands one window for each `allow`; to be made in a running event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._allowed = threading.Semaphore(0)
        self._begun = asyncio.Event()

    async def allow_one(self) -> None:
        """Returns once a window that waited has used it."""
        self._begun.clear()
        self._allowed.release()
        async with asyncio.timeout(30):
            await self._begun.wait()

    def allow_all(self) -> None:
        self._allowed.release(10_000)

    def fuse(self, windows: Sequence[Mapping[str, Sequence[Encoded]]]) -> list[Fused]:
        for _ in windows:
            self._allowed.acquire()
            self._loop.call_soon_threadsafe(self._begun.set)
        return super().fuse(windows)


async def collect(moments: AsyncIterator[tuple[EncodedWindow, Moment]]) -> AsyncGenerator[Moment, None]:
    async for _, moment in moments:
        yield moment


def emitted(step: int, now: int) -> dict[str, Packet]:
    """A picture and 100 ms of sound in every step, a line of text in every second."""
    packets = {
        "camera": Packet("camera", "image", now, b"picture %d" % step + bytes(3000)),
        "mic": Packet("mic", "audio", now - STEP, np.full((1600, 1), step % 1000, np.int16), 16_000),
    }
    if step % 10 == 0:
        packets["notes"] = Packet("notes", "text", now, f"line {step}")
    return packets


class Watch:
    """What is looked at after each step; its own memory is there from the first one on."""

    def __init__(self, group: Group, steps: int) -> None:
        self.group = group
        self.ages, self.bytes, self.held, self.memory = np.zeros((4, steps), np.int64)

    def look(self, step: int) -> None:
        channels = self.group.channels.values()
        for channel in channels:
            counts = channel.counts
            assert counts.received == counts.sent + counts.dropped.total() + channel.in_flight
            assert channel.in_flight <= LIMITS.items
            assert channel.nbytes <= LIMITS.bytes
        for counters in self.group.windower.counters.values():
            assert counters.received == counters.admitted + counters.late + counters.refused
        self.ages[step] = max(channel.age for channel in channels)
        self.bytes[step] = sum(channel.nbytes for channel in channels)
        self.held[step] = self.group.windower.held
        self.memory[step] = tracemalloc.get_traced_memory()[0]


async def test_a_mind_twice_too_slow_costs_packets_and_neither_memory_nor_time():
    """
    one window becomes due every second, the mind understands one every two seconds
    """
    seconds = 1800 if FULL else 60
    clock, mind = SettableClock(EPOCH), SlowMind()
    devices = {"camera": Device("drop_oldest"), "mic": Device("drop_oldest"), "notes": Device("drop_newest")}
    group = Group(
        sources=devices,
        windower=Windower(
            length=2 * SECOND, hop=SECOND, streams=dict.fromkeys(devices, StreamTime(idle_after=2 * SECOND)),
            deadline=SECOND // 2, lateness=SECOND, max_ahead=3600 * SECOND, budget_bytes=2_000_000,
        ),
        clock=clock, live=True, limits=dict.fromkeys(devices, LIMITS),
    )  # fmt: skip
    runner = Runner(group=group, mind=mind, keep=collect, max_in_flight=2, max_batch=4)
    steps = seconds * 10
    watch, delays, gaps = Watch(group, steps + 1), [], 0

    def on_moment(moment: Moment) -> None:
        nonlocal gaps
        delays.append(clock.now() - moment.end)
        gaps += sum(isinstance(gap, Gap) and gap.reason == "dropped" for row in moment.gaps.values() for gap in row)

    running = asyncio.create_task(runner.run(on_moment))
    tracemalloc.start()
    try:
        for step in range(steps):
            for stream, packet in emitted(step, clock.advance(STEP)).items():
                devices[stream].emit(packet)
            if step >= 100 and step % 20 == 0:
                await mind.allow_one()
            for _ in range(12):
                await asyncio.sleep(0)
            watch.look(step)
        slow = len(delays)
    finally:
        tracemalloc.stop()
        mind.allow_all()
        for device in devices.values():
            device.emit(None)
        await running
    watch.look(steps)

    assert (seconds - 10) / 2 - 5 <= slow <= (seconds - 10) / 2
    # What is too old goes when the next packet comes: of the text after a second.
    assert max(watch.ages) <= LIMITS.age + SECOND
    third = steps // 3
    watched = {"age": watch.ages, "bytes": watch.bytes, "packets held": watch.held, "memory": watch.memory}
    for name, series in watched.items():
        middle, last = fmean(series[third : 2 * third]), fmean(series[2 * third : 3 * third])
        assert last <= 1.15 * middle, f"{name} grows: {middle:.0f}, then {last:.0f}"
    half = len(delays) // 2
    assert max(delays[half:]) <= max(delays[:half]) + 2 * SECOND, "moments fall ever further behind"
    dropped = {stream: channel.counts.dropped for stream, channel in group.channels.items()}
    assert all(count.total() > 0 for count in dropped.values()), f"nothing was dropped somewhere: {dropped}"
    assert gaps > 0, "what was dropped shows in no moment"


async def test_a_text_of_one_line_an_hour_does_not_hold_back_the_windows_of_a_camera():
    """
    camera  x x x x x x x ...          one picture a second
    notes   x                    x     one line an hour
    """
    hours = 24 if FULL else 2
    camera = (Packet("camera", "image", at * SECOND, b"%d" % at) for at in range(hours * 3600))
    notes = (Packet("notes", "text", at * 3600 * SECOND, "tea") for at in range(hours + 1))

    class File:
        overflow: Overflow = "block"

        def __init__(self, packets):
            self._packets = packets

        async def events(self) -> AsyncGenerator[Event, None]:
            for packet in self._packets:
                yield packet

    group = Group(
        sources={"camera": File(camera), "notes": File(notes)},
        windower=Windower(length=2 * SECOND, hop=SECOND, streams=["camera", "notes"]),
        clock=SettableClock(), live=False, limits={"camera": ChannelLimits(items=16)},
    )  # fmt: skip
    most = count = 0
    async with group.windows() as windows:
        async for window in windows:
            assert window.complete
            most = max(most, group.windower.held)
            count += 1
    assert (
        count == hours * 3600 + 2
    )  # from the one that ends with the first picture to the one that begins with the last line
    assert most <= 5
