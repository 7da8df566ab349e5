"""The merge decides in which order streams meet: a wrong order makes data late or makes everyone wait."""

import asyncio
from collections.abc import Sequence

from pipelines.channel import Arrivals, Channel
from pipelines.merge import Close, Merged, Tick, merge_by_time, merge_live
from pipelines.packet import SECOND, Bound, Event, Packet
from pipelines.testing import SettableClock


def packet(stream: str, at: int) -> Packet:
    return Packet(stream, "text", at, "x")


def channels(arrivals: Arrivals, clock: SettableClock, *streams: str) -> list[Channel]:
    return [Channel(stream, overflow="block", clock=clock, arrivals=arrivals) for stream in streams]


async def by_time(**streams: Sequence[Event]) -> list[Merged]:
    arrivals = Arrivals()
    held = channels(arrivals, SettableClock(), *streams)

    async def fill(channel: Channel) -> None:
        for event in streams[channel.stream]:
            await channel.put(event)
        channel.close()

    async with asyncio.TaskGroup() as group:
        for channel in held:
            group.create_task(fill(channel))
        return [event async for event in merge_by_time(held, arrivals, {})]


async def test_live_keeps_the_order_of_arrival_across_streams():
    arrivals, clock = Arrivals(), SettableClock()
    a, b = channels(arrivals, clock, "a", "b")
    for channel, at in ((a, 5), (b, 1), (a, 3), (b, 2)):
        await channel.put(packet(channel.stream, at))
    a.close()
    b.close()
    merged = [event async for event in merge_live([a, b], arrivals, clock)]
    assert [(e.stream, e.timestamp) for e in merged if isinstance(e, Packet)] == [
        ("a", 5),
        ("b", 1),
        ("a", 3),
        ("b", 2),
    ]
    assert [e for e in merged if isinstance(e, Close)] == [Close("a"), Close("b")]


async def test_a_tick_comes_after_all_that_was_held_when_it_fell_due():
    """
    held   a1 a2 a3 | tick due | a4 arrives while a1 is handed on
    out    a1 a2 a3 Tick a4
    """
    arrivals, clock = Arrivals(), SettableClock()
    [a] = channels(arrivals, clock, "a")
    for at in (1, 2, 3):
        await a.put(packet("a", at))
    events = merge_live([a], arrivals, clock, tick=10)
    seen: list[Merged] = [await anext(events)]
    clock.advance(10)
    seen.append(await anext(events))
    await a.put(packet("a", 4))
    a.close()
    seen += [event async for event in events]
    assert seen == [packet("a", 1), packet("a", 2), packet("a", 3), Tick(), packet("a", 4), Close("a")]


async def test_stopping_is_not_the_end_of_a_stream():
    arrivals, clock = Arrivals(), SettableClock()
    [a] = channels(arrivals, clock, "a")
    await a.put(packet("a", 1))
    a.close(ended=False)
    assert [event async for event in merge_live([a], arrivals, clock)] == [packet("a", 1)]


async def test_by_time_takes_the_lowest_head_and_keeps_each_streams_own_order():
    merged = await by_time(a=[packet("a", 1), packet("a", 9), packet("a", 4)], b=[packet("b", 2), packet("b", 3)])
    assert [e.timestamp for e in merged if isinstance(e, Packet)] == [1, 2, 3, 9, 4]


async def test_by_time_tells_a_far_head_so_that_nobody_waits_for_it():
    hour = 3600 * SECOND
    camera = [packet("camera", second * SECOND) for second in range(3)]
    merged = await by_time(notes=[packet("notes", hour)], camera=camera)
    assert merged.index(Bound("notes", hour)) < merged.index(camera[0])


async def test_by_time_tells_the_end_of_each_stream_where_it_ended():
    merged = await by_time(a=[packet("a", 1)], b=[packet("b", 2), packet("b", 3)])
    assert merged.index(Close("a")) < merged.index(packet("b", 3))
