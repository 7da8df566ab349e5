"""What every source promises, as one function to run over yours.

    async def test_my_source_keeps_the_contract():
        await check_source(lambda: MySource("mine", path=clip), faulty=lambda: MySource("mine", path=broken_clip))

It fails with an AssertionError that says which promise was broken. No test framework is needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import get_args

import numpy as np

from pipelines.errors import SensoriumError
from pipelines.packet import Bound, Event, Gap, Packet
from pipelines.protocols import Overflow, Source

PATIENCE = 10.0
"""How many seconds a single promise may take to keep; a source that needs longer hangs."""


async def check_source(
    make: Callable[[], Source],
    *,
    faulty: Callable[[], Source] | None = None,
    ends: bool = True,
    repeats: bool = True,
    patience: float = PATIENCE,
) -> list[Event]:
    """Run the whole suite; returns what the source gave (its first event where it does not end).

    Args:
        make: a new source with at least one packet.
        faulty: a source that fails: it must end in a SensoriumError, or in silence, after all that it could read.
        ends: whether it ends by itself (a device does not).
        repeats: whether a new source gives the same again.
        patience: how many seconds a single promise may take to keep.
    """
    events = await drains_at_the_end(make, patience) if ends else []
    first = await closes_when_asked(make, patience)
    await closes_on_cancel(make, patience)
    if ends and repeats:
        again = await drains_at_the_end(make, patience)
        _must(len(again) == len(events), f"the second pass gave {len(again)} events, the first {len(events)}")
        _must(all(_same(*pair) for pair in zip(events, again, strict=True)), "the second pass gave other events")
    if faulty is not None:
        await survives_a_fault(faulty, patience)
    return events or [first]


async def drains_at_the_end(make: Callable[[], Source], patience: float = PATIENCE) -> list[Event]:
    """All events in canonical form, then a clean end that leaves nothing running."""
    source = make()
    _must(source.overflow in get_args(Overflow), f"overflow is {source.overflow!r}, none of {get_args(Overflow)}")
    before = _held()
    stream = source.events()
    async with asyncio.timeout(patience):
        events = [event async for event in stream]
        _must(await anext(stream, None) is None, "it gave an event after its end")
    _must(any(isinstance(event, Packet) for event in events), "it gave no packet")
    check_events(events)
    await _released(before, "after its end", patience)
    return events


async def closes_when_asked(make: Callable[[], Source], patience: float = PATIENCE) -> Event:
    """`aclose` in the middle returns soon and leaves no thread and no file behind. Returns the first event."""
    source = make()
    before = _held()
    stream = source.events()
    async with asyncio.timeout(patience):
        event = await anext(stream)
        await stream.aclose()
    await _released(before, "after aclose", patience)
    return event


async def closes_on_cancel(make: Callable[[], Source], patience: float = PATIENCE) -> None:
    """A task that reads it can be cancelled, at an event and while waiting for the first one."""
    for at_event in (True, False):
        source = make()
        before = _held()
        reached = asyncio.Event()

        async def read(source: Source = source, reached: asyncio.Event = reached, at_event: bool = at_event) -> None:
            async with aclosing(source.events()) as stream:
                if not at_event:
                    reached.set()
                async for _ in stream:
                    reached.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(read())
        async with asyncio.timeout(patience):
            await reached.wait()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=patience)
        _must(bool(done), "it was cancelled and went on")
        _must(task.cancelled(), "it swallowed its cancellation")
        await _released(before, "after it was cancelled", patience)


async def survives_a_fault(make: Callable[[], Source], patience: float = PATIENCE) -> list[Event]:
    """What can be read comes, in canonical form; then it ends, or raises a SensoriumError that says something."""
    source = make()
    before = _held()
    events: list[Event] = []
    stream = source.events()
    async with asyncio.timeout(patience):
        try:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - kept where it raises
        except SensoriumError as error:
            _must(bool(str(error)), "its error says nothing")
        except Exception as error:
            raise AssertionError(f"it failed with {error!r}, which is no SensoriumError") from error
        finally:
            await stream.aclose()
    check_events(events)
    await _released(before, "after its fault", patience)
    return events


def check_events(events: list[Event]) -> None:
    """One stream, canonical payloads, rising sequence, and no packet that breaks a Bound before it."""
    bound: int | None = None
    sequence = -1
    for event in events:
        _must(isinstance(event, Packet | Bound | Gap), f"it gave a {type(event).__name__}")
        _must(event.stream == events[0].stream, f"it gave events of {events[0].stream!r} and of {event.stream!r}")
        if isinstance(event, Bound):
            bound = event.timestamp if bound is None else max(bound, event.timestamp)
        elif isinstance(event, Gap):
            _must(event.start <= event.end, f"{event} ends before it starts")
            _must(bool(event.reason), f"{event} has no reason")
        else:
            _check_payload(event)
            _must(event.sequence > sequence, f"sequence {event.sequence} comes after {sequence}")
            sequence = event.sequence
            _must(bound is None or event.end >= bound, f"a packet at {event.timestamp} breaks the Bound at {bound}")


def _check_payload(packet: Packet) -> None:
    payload, name = packet.payload, f"{packet.modality} packet {packet.sequence}"
    _must(type(packet.timestamp) is int, f"{name} has a time of type {type(packet.timestamp).__name__}")
    if packet.modality == "image":
        _must(isinstance(payload, bytes) and payload[:3] == b"\xff\xd8\xff", f"{name} is no JPEG")
        _must(packet.rate is None, f"{name} has a rate")
    elif packet.modality == "audio":
        samples = isinstance(payload, np.ndarray) and payload.dtype == np.int16 and payload.ndim == 2
        _must(samples, f"{name} is no int16 array of shape (samples, channels)")
        _must(packet.rate is not None and packet.rate > 0, f"{name} has no rate")
    else:
        _must(packet.modality == "text", f"{name} has a modality that does not exist")
        _must(isinstance(payload, str), f"{name} is no string")
        _must(packet.rate is None, f"{name} has a rate")


def _same(one: Event, other: Event) -> bool:
    if isinstance(one, Packet) and isinstance(other, Packet) and isinstance(one.payload, np.ndarray):
        same = np.array_equal(one.payload, other.payload)
        return same and (one.timestamp, one.rate, one.sequence) == (other.timestamp, other.rate, other.sequence)
    return one == other


def _held() -> tuple[set[threading.Thread], int]:
    """Threads that are no pool of asyncio's own, and how many files are open."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    open_files = Path("/proc/self/fd")
    return threads, len(list(open_files.iterdir())) if open_files.is_dir() else 0


async def _released(before: tuple[set[threading.Thread], int], when: str, patience: float) -> None:
    threads, files = before
    for _ in range(int(patience * 100)):  # a worker that was told to end needs a moment to do so
        now, open_now = _held()
        if now <= threads and open_now <= files:
            return
        await asyncio.sleep(0.01)
    left = ", ".join(thread.name for thread in now - threads) or "none"
    raise AssertionError(f"{when} it left threads ({left}) or files ({open_now - files} more) behind")


def _must(kept: bool, broken: str) -> None:
    if not kept:
        raise AssertionError(broken)
