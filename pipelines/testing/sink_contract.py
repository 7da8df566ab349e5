"""What every sink must do, as tests to inherit: for ours and for those of other authors.

    class TestMine(SinkContract):
        async def open(self): return MySink(self.place)
        async def delivered(self): return what has arrived there, bodies in order

pytest runs the inherited tests, with asyncio_mode=auto. `exactly_once` says whether a batch that is sent again to a
newly opened sink leaves no second copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipelines.protocols import Record, Sink


def some_records(count: int, first: int = 1) -> list[Record]:
    """Records as the outbox makes them: canonical bodies, ids and sequences without a hole."""
    return [
        Record(
            number,
            "hall",
            f"moment-{number}.0",
            b'{"id":"moment-%d","revision":0,"text":"\xc3\xa4 \\n %d"}' % (number, number),
            {"outbox": "0a1b", "sequence": str(number)},
        )
        for number in range(first, first + count)
    ]


class SinkContract:
    """Inherit, and say how to open the sink and how to read what it delivered."""

    exactly_once = False

    async def open(self) -> Sink:
        """A sink at the place of this test: the same place on every call within one test."""
        raise NotImplementedError

    async def delivered(self) -> Sequence[bytes]:
        """The bodies that are durable at that place, in order."""
        raise NotImplementedError

    async def test_all_records_arrive_in_order_with_their_bytes(self) -> None:
        records = some_records(25)
        sink = await self.open()
        await sink.write(records[:10])
        await sink.write(records[10:])
        await sink.aclose()
        assert list(await self.delivered()) == [record.body for record in records]

    async def test_what_was_acknowledged_is_there_before_the_sink_is_closed(self) -> None:
        records = some_records(3)
        sink = await self.open()
        try:
            await sink.write(records)
            assert list(await self.delivered()) == [record.body for record in records]
        finally:
            await sink.aclose()

    async def test_an_empty_batch_is_nothing(self) -> None:
        sink = await self.open()
        await sink.write([])
        await sink.aclose()
        assert list(await self.delivered()) == []

    async def test_it_goes_on_where_it_stopped(self) -> None:
        records = some_records(6)
        for part in (records[:2], records[2:]):
            sink = await self.open()
            await sink.write(part)
            await sink.aclose()
        assert list(await self.delivered()) == [record.body for record in records]

    async def test_a_batch_sent_again_after_a_kill_loses_nothing(self) -> None:
        records = some_records(6)
        first = await self.open()
        await first.write(records[:4])
        await first.aclose()
        second = await self.open()
        await second.write(records[2:])  # the cursor had not moved over 3 and 4
        await second.aclose()
        bodies = list(await self.delivered())
        if self.exactly_once:
            assert bodies == [record.body for record in records]
        else:
            assert list(dict.fromkeys(bodies)) == [record.body for record in records]

    async def test_a_cancelled_write_leaves_a_sink_that_closes(self) -> None:
        sink = await self.open()
        task = asyncio.ensure_future(sink.write(some_records(5)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(sink.aclose(), 5)

    async def test_closing_twice_is_harmless(self) -> None:
        sink = await self.open()
        await sink.aclose()
        await sink.aclose()
