"""Results out of order would move a moment behind its successor; too many held would fill the memory."""

import asyncio

import pytest

from pipelines.ahead import Ahead


async def numbers(count, taken=None):
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield number


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_everything_comes_once_in_order_and_then_the_end():
    async with Ahead(numbers(5), lambda n: n * n, limit=2) as ahead:
        assert [await ahead.next() for _ in range(7)] == [0, 1, 4, 9, 16, None, None]
    async with Ahead(numbers(5), lambda n: n * n, limit=2) as ahead:
        found = []
        while some := await ahead.all():
            found += some
        assert found == [0, 1, 4, 9, 16]


async def test_it_reads_up_to_the_limit_while_nobody_asks_and_no_further():
    taken = []
    async with Ahead(numbers(50, taken), lambda n: n, limit=3) as ahead:
        await settled()
        assert taken == [0, 1, 2]
        assert await ahead.next() == 0
        await settled()
        assert taken == [0, 1, 2, 3]
        assert await ahead.all() == [1, 2, 3]


@pytest.mark.parametrize("fails_in", ["items", "begin"])
async def test_a_failure_comes_behind_what_was_read_before_it(fails_in):
    async def items():
        yield 1
        yield 2
        if fails_in == "items":
            raise ValueError("broken")
        yield 3

    def begin(number):
        if number == 3:
            raise ValueError("broken")
        return number

    async with Ahead(items(), begin, limit=10) as ahead:
        await settled()
        assert await ahead.all() == [1, 2]
        with pytest.raises(ValueError, match="broken"):
            await ahead.all()


async def test_leaving_early_ends_the_reading():
    closed = asyncio.Event()

    async def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    items = endless()
    async with Ahead(items, lambda n: n, limit=2) as ahead:
        assert await ahead.next() == 1
    await items.aclose()  # possible only when nobody is inside it any more
    assert closed.is_set()
