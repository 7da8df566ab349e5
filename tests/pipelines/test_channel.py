"""A channel that leaks, overfills or miscounts would lose data without anyone knowing, or eat the machine's memory."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.channel import Channel, ChannelLimits
from pipelines.packet import Bound, Gap, Packet
from pipelines.testing import SettableClock

LIMITS = ChannelLimits(items=4, bytes=100, age=50)


def text(at: int, size: int = 1) -> Packet:
    return Packet("s", "text", at, "x" * size)


def books_balance(channel: Channel) -> bool:
    counts = channel.counts
    return counts.received == counts.sent + sum(counts.dropped.values()) + channel.in_flight


@settings(max_examples=200)
@given(
    overflow=st.sampled_from(["drop_oldest", "keep_latest", "drop_newest"]),
    steps=st.lists(st.one_of(st.integers(1, 60), st.just("take"), st.just("wait")), max_size=60),
)
def test_every_packet_is_taken_or_covered_by_a_gap_in_its_place(overflow, steps):
    async def run() -> None:
        clock = SettableClock()
        channel = Channel("s", overflow=overflow, clock=clock, limits=LIMITS)
        put: list[int] = []
        seen: list[tuple[int, int]] = []  # [start, end) of packets and gaps, in the order taken

        def take() -> None:
            event = channel.take()
            assert not isinstance(event, Bound)
            seen.append((event.start, event.end) if isinstance(event, Gap) else (event.timestamp, event.timestamp + 1))

        for step in steps:
            if step == "take":
                if channel.head is not None:
                    take()
            elif step == "wait":
                clock.advance(20)
            else:
                put.append(len(put))
                await channel.put(text(len(put) - 1, step))
            assert books_balance(channel)
            assert channel.in_flight <= LIMITS.items
            assert channel.nbytes <= LIMITS.bytes or channel.in_flight == 1
        while channel.head is not None:
            take()
        assert books_balance(channel)
        assert [at for start, end in seen for at in range(start, end)] == put

    asyncio.run(run())


async def test_block_waits_for_room_and_loses_nothing():
    channel = Channel("s", overflow="block", clock=SettableClock(), limits=LIMITS)

    async def produce() -> None:
        for at in range(20):
            await channel.put(text(at))
        channel.close()

    producer = asyncio.create_task(produce())
    taken = []
    while not (channel.closed and channel.head is None):
        await asyncio.sleep(0)
        assert channel.in_flight <= LIMITS.items
        assert books_balance(channel)
        if channel.head is not None:
            taken.append(channel.take().timestamp)
    await producer
    assert taken == list(range(20))


async def test_a_cancelled_wait_for_room_leaves_the_books_straight():
    channel = Channel("s", overflow="block", clock=SettableClock(), limits=ChannelLimits(items=1))
    await channel.put(text(0))
    waiting = asyncio.create_task(channel.put(text(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert channel.counts.received == 1
    assert books_balance(channel)


async def test_keep_latest_holds_the_newest_frame_only():
    channel = Channel("s", overflow="keep_latest", clock=SettableClock())
    for at in range(5):
        await channel.put(text(at))
    assert channel.take() == Gap("s", 0, 4, "dropped")
    assert channel.take() == text(4)
    assert channel.counts.dropped == {"superseded": 4}


async def test_drop_newest_puts_the_gap_behind_what_it_kept():
    channel = Channel("s", overflow="drop_newest", clock=SettableClock(), limits=ChannelLimits(items=2))
    for at in range(4):
        await channel.put(text(at))
    assert [channel.take() for _ in range(3)] == [text(0), text(1), Gap("s", 2, 4, "dropped")]


async def test_what_is_too_old_is_dropped_but_never_the_last_one():
    clock = SettableClock()
    channel = Channel("s", overflow="drop_oldest", clock=clock, limits=LIMITS)
    await channel.put(text(0))
    await channel.put(text(1))
    clock.advance(51)
    assert channel.take() == Gap("s", 0, 1, "dropped")
    assert channel.take() == text(1)


async def test_a_lost_sound_is_a_gap_as_long_as_the_sound():
    channel = Channel("mic", overflow="keep_latest", clock=SettableClock())
    for at in range(2):
        await channel.put(Packet("mic", "audio", at * 10**9, np.zeros((16000, 1), np.int16), 16000))
    assert channel.take() == Gap("mic", 0, 10**9, "dropped")


async def test_a_closed_channel_takes_nothing_more_and_wakes_a_waiting_source():
    channel = Channel("s", overflow="block", clock=SettableClock(), limits=ChannelLimits(items=1))
    await channel.put(text(0))
    waiting = asyncio.create_task(channel.put(text(1)))
    await asyncio.sleep(0)
    channel.close()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    assert channel.take() == text(0)
