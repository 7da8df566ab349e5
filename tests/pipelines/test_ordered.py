"""Results out of order would move a moment behind its successor; too many under way would fill the memory."""

import asyncio

import pytest

from pipelines.ordered import ordered


async def numbers(count):
    for number in range(count):
        yield number


async def test_results_keep_the_order_of_the_items_whatever_finishes_first():
    gates = [asyncio.Event() for _ in range(4)]

    async def work(number):
        await gates[number].wait()
        if number:
            gates[number - 1].set()
        return number

    gates[3].set()
    assert [n async for n in ordered(numbers(4), work, limit=4)] == [0, 1, 2, 3]


async def test_no_more_than_the_limit_is_under_way():
    running = highest = 0
    full = asyncio.Event()

    async def work(number):
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        if running == 3:
            full.set()
        await full.wait()
        running -= 1
        return number

    assert [n async for n in ordered(numbers(50), work, limit=3)] == list(range(50))
    assert highest == 3


async def test_the_first_failure_ends_it_and_cancels_the_rest():
    cancelled = []
    all_begun = asyncio.Event()

    async def work(number):
        if number == 3:
            all_begun.set()
        await all_begun.wait()
        if number == 1:
            raise ValueError("broken")
        try:
            if number > 1:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    with pytest.raises(ValueError, match="broken"):
        [number async for number in ordered(numbers(4), work, limit=4)]
    assert cancelled == [2, 3]
