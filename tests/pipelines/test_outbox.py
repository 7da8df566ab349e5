"""Delivery: every record, in order, to every sink; a broken sink holds nobody else up and nothing is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipelines.errors import Reject, Retry
from pipelines.protocols import Record
from pipelines.store import Outbox, Store
from pipelines.testing import CollectingSink
from pipelines.testing.moments import a_moment, a_view


async def fill(store: Store, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        moment = a_moment(f"m{number}", {"notes": a_view("text", text=(f"words {number}",))})
        await asyncio.wrap_future(store.put(moment))


def names(records: Sequence[Record]) -> list[str]:
    return [record.ce_id for record in records]


def expected(count: int) -> list[str]:
    return [f"m{number}.0" for number in range(1, count + 1)]


class Pauses:
    """Stands in for the clock: remembers each pause and returns at once."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def failing(times: int, error: Callable[[], Exception]) -> Callable[[Sequence[Record]], None]:
    left = [times]

    def before(records: Sequence[Record]) -> None:
        if left[0]:
            left[0] -= 1
            raise error()

    return before


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds, no sleep in any
            await asyncio.sleep(0)


async def deliver_all(outbox: Outbox, ready: Callable[[], bool] = lambda: True) -> bool:
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.run())
        await asyncio.sleep(0)
        await until(ready)
        return await outbox.drain(within=20)


async def test_every_sink_gets_everything_in_order_in_bounded_batches(tmp_path: Path) -> None:
    sizes: list[int] = []
    one, two = CollectingSink(lambda records: sizes.append(len(records))), CollectingSink()
    with Store(tmp_path) as store:
        await fill(store, 25)
        assert await deliver_all(Outbox(store, {"one": one, "two": two}, batch=10))
        assert names(one.records) == names(two.records) == expected(25)
        assert max(sizes) == 10
        assert one.closed and two.closed
        assert store.cursor("one") == store.cursor("two") == 25


async def test_a_new_commit_wakes_the_loop(tmp_path: Path) -> None:
    sink = CollectingSink()
    with Store(tmp_path) as store:
        outbox = Outbox(store, {"sink": sink})
        running = asyncio.ensure_future(outbox.run())
        await fill(store, 3)
        await until(lambda: len(sink.records) == 3)
        await fill(store, 2, first=4)
        await until(lambda: len(sink.records) == 5)
        assert await outbox.drain(within=20)
        await running
        assert names(sink.records) == expected(5)


async def test_a_sink_that_is_away_gets_the_same_batch_again_after_growing_pauses(tmp_path: Path) -> None:
    pauses = Pauses()
    sink = CollectingSink(failing(5, lambda: Retry("the broker is away")))
    with Store(tmp_path) as store:
        await fill(store, 4)
        outbox = Outbox(store, {"sink": sink}, pause=(0.1, 0.5), sleep=pauses, jitter=lambda: 0.5)
        assert await deliver_all(outbox, lambda: len(sink.records) == 4)
        assert names(sink.records) == expected(4)
        assert pauses.taken == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
        state = outbox.state()["sink"]
        assert (state.cursor, state.lag, state.delivered, state.retries, state.last_error) == (4, 0, 4, 5, None)


async def test_a_defect_in_one_sink_holds_no_other_up_and_is_shown(tmp_path: Path) -> None:
    good = CollectingSink()
    bad = CollectingSink(failing(10**9, lambda: KeyError("partition")))
    with Store(tmp_path) as store:
        await fill(store, 4)
        outbox = Outbox(store, {"bad": bad, "good": good}, sleep=Pauses(), now=lambda: 2**62)
        running = asyncio.ensure_future(outbox.run())
        await until(lambda: len(good.records) == 4 and outbox.state()["bad"].retries > 3)
        state = outbox.state()["bad"]
        assert state.lag == 4 and state.lag_seconds > 0 and state.cursor == 0
        assert state.last_error == "KeyError: 'partition'"
        assert not await outbox.drain(within=0.05), "what is left stays in the store"
        await running
        assert store.pending("bad").items == 4
    again = CollectingSink()
    with Store(tmp_path) as store:
        assert await deliver_all(Outbox(store, {"bad": again}))
        assert names(again.records) == expected(4)


async def test_a_rejected_record_becomes_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    taken: list[Record] = []

    def before(records: Sequence[Record]) -> None:
        for record in records:
            if record.ce_id in {"m3.0", "m5.0"}:
                raise Reject(record, "too large")
            if record not in taken:
                taken.append(record)

    sink = CollectingSink(before)
    with Store(tmp_path) as store:
        await fill(store, 6)
        outbox = Outbox(store, {"sink": sink})
        assert await deliver_all(outbox)
        assert names(taken) == ["m1.0", "m2.0", "m4.0", "m6.0"]
        assert store.statistics().dead_letters == 2
        state = outbox.state()["sink"]
        assert (state.cursor, state.rejected, state.delivered) == (6, 2, 4)


async def test_a_stop_between_write_and_cursor_sends_again_and_skips_nothing(tmp_path: Path) -> None:
    written: list[Record] = []

    class Stopped(CollectingSink):
        async def write(self, records: Sequence[Record]) -> None:
            written.extend(records)
            await asyncio.Event().wait()  # never acknowledged

    with Store(tmp_path) as store:
        await fill(store, 5)
        running = asyncio.ensure_future(Outbox(store, {"sink": Stopped()}, batch=3).run())
        await until(lambda: len(written) == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert store.cursor("sink") == 0
        sink = CollectingSink()
        assert await deliver_all(Outbox(store, {"sink": sink}))
        assert names(sink.records) == expected(5)


async def test_what_waits_for_a_sink_that_is_configured_counts_as_undelivered_at_once(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        await fill(store, 2)
        outbox = Outbox(store, {"sink": CollectingSink(failing(10**9, lambda: Retry("away")))}, sleep=Pauses())
        running = asyncio.ensure_future(outbox.run())
        await until(lambda: outbox.state()["sink"].retries > 0)
        assert store.pending("sink").items == 2
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_no_sinks_is_a_pipeline_that_only_keeps(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        await fill(store, 2)
        assert await deliver_all(Outbox(store, {}))


async def test_a_stop_during_a_long_pause_tries_once_more_at_once(tmp_path: Path) -> None:
    sink = CollectingSink(failing(1, lambda: Retry("the broker is away")))

    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    with Store(tmp_path) as store:
        await fill(store, 2)
        outbox = Outbox(store, {"sink": sink}, sleep=forever)
        running = asyncio.ensure_future(outbox.run())
        await until(lambda: outbox.state()["sink"].retries == 1)
        assert await outbox.drain(within=20), "the broker is back, and nobody should have to wait for the pause to end"
        await running
        assert names(sink.records) == expected(2)
