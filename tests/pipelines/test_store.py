"""The store keeps its word: one place per moment, one content per id, and nothing committed is ever lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import StoreError
from pipelines.moment import Moment
from pipelines.store import Clip, Reader, Retention, Store, Stored
from pipelines.testing import SettableClock
from pipelines.testing.moments import a_moment, a_view

DAY = 86_400_000_000_000


def a_text(name: str, words: str, start: int = 0) -> Moment:
    return a_moment(name, {"notes": a_view("text", np.ones(4, np.float32), text=(words,))}, start=start)


def put(store: Store, moment: Moment, **more: object) -> tuple[int, int] | None:
    return store.put(moment, **more).result(10)  # type: ignore[arg-type]


def test_a_moment_gets_its_place_and_its_revision_and_an_equal_one_is_ignored(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert put(store, a_text("a", "tea")) == (1, 0)
        assert put(store, a_text("b", "tea")) == (2, 0)
        assert put(store, a_text("a", "tea is ready")) == (3, 1)
        assert put(store, a_text("a", "tea")) is None  # equal to any it has, not just to the last
        assert put(store, a_text("a", "tea is ready")) is None
        records = store.records(0, 10)
        assert [(r.sequence, r.ce_id, json.loads(r.body)["revision"]) for r in records] == [
            (1, "a.0", 0),
            (2, "b.0", 0),
            (3, "a.1", 1),
        ]
        assert [r.body for r in records] == [
            a_text("a", "tea").body(0),
            a_text("b", "tea").body(0),
            a_text("a", "tea is ready").body(1),
        ]
        assert store.statistics().ignored == 2


def test_the_highest_revision_replaces_the_others_for_search_while_sinks_get_all(tmp_path: Path) -> None:
    with Store(tmp_path) as store, Reader(tmp_path) as reader:
        put(store, a_text("a", "the kettle sings"))
        put(store, a_text("a", "the kettle is silent"))
        holding = reader.holding('"kettle"')
        assert [found.text for found in reader.views(holding).values()] == ["the kettle is silent"]
        assert reader.contexts('"kettle"', holding) == {holding[0]: "the \x02kettle\x03 is silent"}
        assert reader.holding('"sings"') == []
        assert sum(len(rows.keys) for rows in reader.vectors("shared", 0)) == 1
        assert len(store.records(0, 10)) == 2
        assert reader.body("a") == a_text("a", "the kettle is silent").body(1)


def test_headers_travel_beside_the_body_with_the_identity_of_the_outbox(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        put(store, a_text("a", "tea"), headers={"encode-ms": "3"})
        [record] = store.records(0, 1)
        assert record.headers["encode-ms"] == "3"
        assert record.headers["sequence"] == "1"
        outbox = record.headers["outbox"]
    with Store(tmp_path) as store:
        assert store.records(0, 1)[0].headers["outbox"] == outbox


def test_a_batch_is_bounded_in_bytes_yet_never_empty(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for name in "abc":
            put(store, a_text(name, "x" * 1000))
        assert [r.sequence for r in store.records(0, 10, max_bytes=1)] == [1]
        assert [r.sequence for r in store.records(1, 1)] == [2]


def test_pruning_to_empty_never_gives_a_number_twice(tmp_path: Path) -> None:
    clock = SettableClock(DAY)
    with Store(tmp_path, retention=Retention(max_age=DAY), clock=clock.now) as store:
        for name in "abc":
            put(store, a_text(name, name))
        store.move_cursor("kafka", 3).result(10)
        clock.advance(3 * DAY)
        assert store.prune().result(10).delivered == 3
        assert store.statistics().records == 0
        assert put(store, a_text("a", "a")) is None, "a resumed replay must not bring a dropped moment back"
    with Store(tmp_path, clock=clock.now) as store:
        assert put(store, a_text("d", "d")) == (4, 0)
        assert [r.sequence for r in store.records(store.cursor("kafka"), 10)] == [4]


def test_age_never_takes_what_a_sink_has_not_got(tmp_path: Path) -> None:
    clock = SettableClock(DAY)
    with Store(tmp_path, retention=Retention(max_age=DAY), clock=clock.now) as store:
        for name in "abc":
            put(store, a_text(name, name))
        store.move_cursor("fast", 3).result(10)
        store.move_cursor("slow", 1).result(10)
        clock.advance(3 * DAY)
        store.prune().result(10)
        assert [r.sequence for r in store.records(0, 10)] == [2, 3]
        assert store.pending("slow").items == 2


def test_a_cursor_moves_forward_only_and_never_past_what_is_stored(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for name in "abc":
            put(store, a_text(name, name))
        assert store.move_cursor("s", 2).result(10) == 2
        assert store.move_cursor("s", 1).result(10) == 2
        assert store.move_cursor("s", 99).result(10) == 3


def _filled(store: Store, count: int) -> None:
    for number in range(count):
        store.put(a_text(f"m{number}", f"{number} " + "words " * 2000))
    put(store, a_text("last", "last"))


def test_a_spent_budget_drops_the_oldest_delivered_then_undelivered_and_says_so(tmp_path: Path) -> None:
    budget = 2 * 1024 * 1024
    with Store(tmp_path, retention=Retention(max_bytes=budget), sinks=["kafka"]) as store:
        _filled(store, 20)
        store.move_cursor("kafka", 20).result(10)
        puts = [store.put(a_text(f"n{number}", f"{number} " + "words " * 2000)) for number in range(300)]
        assert all(future.result(30) for future in puts)
        store.prune().result(10)
        state = store.statistics()
        assert state.bytes <= budget
        assert state.dropped_delivered == 20
        assert state.dropped_undelivered > 0
        assert state.records + state.dropped_delivered + state.dropped_undelivered == state.last_sequence == 321
        assert store.records(0, 1)[0].sequence == state.dropped_delivered + state.dropped_undelivered + 1


def test_a_spent_budget_can_block_instead_until_there_is_room(tmp_path: Path) -> None:
    clock = SettableClock(DAY)
    rule = Retention(max_bytes=1024 * 1024, when_full="block", max_age=DAY)
    with Store(tmp_path, retention=rule, clock=clock.now) as store:
        waiting: list[Future[Stored | None]] = []
        while not waiting or waiting[-1].done():
            waiting.append(store.put(a_text(f"m{len(waiting)}", f"{len(waiting)} " + "words " * 2000)))
            while not waiting[-1].done() and store.statistics().blocked is None:
                pass
        late = store.put(a_text("late", "late"))
        committed = store.statistics().last_sequence
        assert committed == len(waiting) - 1 and not late.done()
        assert "block" in (store.statistics().blocked or "")
        store.move_cursor("s", committed).result(10)  # small jobs still get through
        clock.advance(3 * DAY)
        store.prune().result(10)
        stored = late.result(10)
        assert stored is not None and stored.sequence == len(waiting) + 1
        assert store.statistics().dropped_undelivered == 0


def test_clips_are_kept_once_and_go_by_age_and_by_bytes_oldest_use_first(tmp_path: Path) -> None:
    clock = SettableClock(DAY)
    with Store(tmp_path, retention=Retention(media_age=DAY, media_bytes=25), clock=clock.now) as store:
        clips = {f"store:{n}": Clip("image/jpeg", bytes([n]) * 10) for n in range(3)}
        put(store, a_text("a", "a"), clips={"store:0": clips["store:0"]})
        clock.advance(1)
        put(store, a_text("b", "b"), clips={"store:1": clips["store:1"]})
        clock.advance(1)
        put(store, a_text("c", "c"), clips={"store:0": clips["store:0"], "store:2": clips["store:2"]})
        assert store.statistics().media_bytes == 30
        store.prune().result(10)
        with Reader(tmp_path) as reader:
            assert reader.clip("store:1") is None, "used longest ago"
            assert reader.clip("store:0") == clips["store:0"]
            clock.advance(2 * DAY)
            store.prune().result(10)
            assert reader.clip("store:0") is None
        assert store.statistics().records == 3


def test_a_full_queue_holds_its_caller_back(tmp_path: Path) -> None:
    gate = threading.Event()
    with Store(tmp_path, queue_items=2) as store:
        store.on_commit(gate.wait)
        store.put(a_text("first", "x")).add_done_callback(lambda future: None)
        with pytest.raises(StoreError, match="full"):
            for number in range(10):
                store.put(a_text(f"m{number}", "x"), timeout=0.05)
        assert store.statistics().queued <= 2
        gate.set()
        assert put(store, a_text("later", "x")) is not None


def test_a_moment_that_cannot_be_stored_spoils_no_other(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        bad = store.put(a_moment("bad", start=2**70))
        good = store.put(a_text("good", "tea \ud800 \x00"))
        with pytest.raises((StoreError, OverflowError)):
            bad.result(10)
        assert good.result(10) == (1, 0)


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(StoreError, match="being written by process"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        put(store, a_text("a", "a"))
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="newer version"):
        Reader(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        Store(tmp_path)


@pytest.mark.parametrize("damage", ["header", "middle", "cut", "empty"])
def test_a_corrupt_database_is_put_aside_and_reported_and_a_fresh_one_starts(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path) as store:
        for number in range(50):
            store.put(a_text(f"m{number}", f"{number} " + "words " * 500))
    path = tmp_path / "store.db"
    data = path.read_bytes()
    broken = {
        "header": b"not a database, " + data[16:],
        "middle": data[:4096] + b"\x5a" * (len(data) - 8192) + data[-4096:],
        "cut": data[: len(data) // 2],
        "empty": b"",
    }[damage]
    path.write_bytes(broken)
    with Store(tmp_path) as store:
        if damage == "empty":  # an empty file is a fresh database, nothing is lost that was there
            assert store.notice is None
        else:
            assert store.notice is not None and "corrupt" in store.notice
            [aside] = tmp_path.glob("store.db.corrupt-*")
            assert aside.read_bytes() == broken
            assert aside.name in store.notice
        assert put(store, a_text("new", "new")) == (1, 0)


def test_damage_found_while_running_loses_no_put_and_no_cursor_runs_ahead(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(200):
            store.put(a_text(f"m{number}", f"{number} " + "words " * 500))
        put(store, a_text("x", "x"))
    size = (tmp_path / "store.db").stat().st_size
    with Store(tmp_path) as store:
        with (tmp_path / "store.db").open("r+b") as file:
            file.seek(8192)
            file.write(b"\x5a" * (size - 8192))
        puts = [store.put(a_text(f"n{number}", f"{number} " + "words " * 500)) for number in range(300)]
        stored = [future.result(30) for future in puts]
        assert all(stored)
        assert store.notice is not None and "corrupt" in store.notice
        sequences = [place.sequence for place in stored if place]
        assert sequences == list(range(202, 502)), "numbers go on above the old ones"
        assert store.move_cursor("s", 201).result(10) == 201
        found = store.records(201, 1000)
        assert [r.sequence for r in found] == sequences[-len(found) :]


def test_closed_means_closed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    futures = [store.put(a_text(f"m{n}", "x")) for n in range(20)]
    assert store.close() and store.close()
    assert all(future.result(0) for future in futures), "what was queued is written out"
    with pytest.raises(StoreError, match="closed"):
        store.put(a_text("late", "x"))
    with pytest.raises(StoreError, match="closed"):
        store.records(0, 1)


def test_retention_names_every_wrong_value() -> None:
    with pytest.raises(StoreError, match=r"max_bytes is 1.*when_full is 'panic'"):
        Retention(max_bytes=1, when_full="panic")  # type: ignore[arg-type]


def test_a_reader_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="replay something into it first"):
        Reader(tmp_path)


def test_a_store_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA user_version=1")
    connection.close()
    for opened in (Reader, Store):
        with pytest.raises(StoreError, match="choose another directory and replay"):
            opened(tmp_path)


def test_a_long_read_is_stopped_and_the_writer_never_waits_for_it(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(300):
            store.put(a_text(f"m{number}", f"tea {number}"))
        put(store, a_text("x", "x"))
        with Reader(tmp_path, limit=0.0) as reader, pytest.raises(StoreError, match="stopped"):
            reader.contexts('"tea"', reader.holding('"tea"'))
        assert put(store, a_text("y", "y")) is not None


Operation = tuple[str, int, int]
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 2)),
        st.tuples(st.just("cursor"), st.integers(0, 1), st.integers(0, 30)),
        st.tuples(st.just("prune"), st.just(0), st.integers(0, 3)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(operations=_operations)
def test_whatever_happens_sequences_are_contiguous_and_one_id_has_one_content(
    operations: list[Operation], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("store")
    clock = SettableClock(DAY)
    rule = Retention(max_age=DAY)
    store = Store(directory, retention=rule, clock=clock.now)
    model: list[tuple[str, int, bytes]] = []  # every record ever, place i has sequence i + 1
    cursors = {"s0": 0, "s1": 0}
    try:
        for kind, which, value in operations:
            if kind == "put":
                moment = a_text(f"m{which}", f"words {value}")
                known = [body for name, _, body in model if name == moment.id]
                expected = None
                if moment.body(0) not in known:
                    expected = (len(model) + 1, len(known))
                    model.append((moment.id, len(known), moment.body(0)))
                assert put(store, moment) == expected
            elif kind == "cursor":
                name = f"s{which}"
                cursors[name] = max(cursors[name], min(value, len(model)))
                assert store.move_cursor(name, value).result(10) == cursors[name]
            elif kind == "prune":
                clock.advance(value * DAY)
                store.prune().result(10)
            else:
                store.close()
                store = Store(directory, retention=rule, clock=clock.now)
            kept = store.records(0, 1000)
            numbers = [record.sequence for record in kept]
            assert numbers == list(range(len(model) + 1 - len(kept), len(model) + 1))
            for record in kept:
                name, revision, _ = model[record.sequence - 1]
                assert record.ce_id == f"{name}.{revision}"
                assert json.loads(record.body)["revision"] == revision
            with Reader(directory) as reader:
                for name in {name for name, _, _ in model}:
                    highest = max(revision for other, revision, _ in model if other == name)
                    body = reader.body(name)
                    assert body is None or json.loads(body)["revision"] == highest
    finally:
        store.close()
