"""The real-time queue: bounded, in order, nothing lost without a count. The work is held by events, so nothing sleeps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from multimodal import MultimodalInput, MultimodalOutput
from multimodal.errors import NotReadyError, QueueFullError
from multimodal.integration.realtime import RealTimeQueue, RealTimeResult
from multimodal.types import AttentionWeights, ModalityAlignment, UnifiedRepresentation


def output_of(text: str) -> MultimodalOutput:
    unified = UnifiedRepresentation(torch.zeros(1, 1), {}, {}, {}, 1.0)
    return MultimodalOutput(unified, {}, AttentionWeights({}), ModalityAlignment({}), {}, {"text": text})


class Work:
    """Echoes its inputs; holds until `go` is set; a text "bad" is an error of its own, "bomb" blows up the whole call."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, given: Sequence[MultimodalInput]) -> list[MultimodalOutput | Exception]:
        texts = [str(one.text) for one in given]
        self.batches.append(texts)
        self.begun.set()
        assert self.go.wait(30)
        if "bomb" in texts:
            raise RuntimeError("bomb")
        return [ValueError(text) if text == "bad" else output_of(text) for text in texts]


def queue_of(work: Any, **changes: Any) -> RealTimeQueue:
    return RealTimeQueue(work, **{"size": 4, "batch": 3, "overflow": "block", **changes})


def add(queue: RealTimeQueue, text: str, **how: Any) -> int:
    return queue.add(MultimodalInput(text=text), **how)


def told(result: RealTimeResult) -> str:
    return type(result.error).__name__ if result.output is None else str(result.output.processing_metadata["text"])


def balanced(queue: RealTimeQueue) -> bool:
    m = queue.metrics()
    return m["received"] == m["delivered"] + m["dropped"] + m["inputs"] + m["computing"] + m["results"]


def test_results_come_in_order_and_what_waits_is_computed_together() -> None:
    work = Work()
    queue = queue_of(work)
    assert add(queue, "a") == 0
    assert work.begun.wait(30)
    assert [add(queue, text) for text in "bcd"] == [1, 2, 3]
    assert balanced(queue)
    work.go.set()
    found = list(queue.results())
    assert [(one.sequence, told(one)) for one in found] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert work.batches == [["a"], ["b", "c", "d"]]
    assert balanced(queue)
    queue.close()


def test_one_bad_input_takes_nobody_with_it() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work, size=16, batch=8)
    for text in ("a", "bad", "bomb", "b"):
        add(queue, text)
    assert [told(one) for one in queue.results()] == ["a", "ValueError", "RuntimeError", "b"]
    assert queue.metrics()["failed"] == 2
    queue.close()


def test_a_full_queue_blocks_and_says_so_after_the_time_allowed() -> None:
    work = Work()
    queue = queue_of(work, size=2, batch=1)
    add(queue, "a")
    assert work.begun.wait(30)
    add(queue, "b")
    add(queue, "c")
    with pytest.raises(QueueFullError, match="2 inputs wait"):
        add(queue, "d", timeout=0.0)
    assert queue.metrics()["inputs"] == 2
    work.go.set()
    assert [told(one) for one in queue.results()] == ["a", "b", "c"]
    queue.close()


def test_blocked_callers_go_on_when_results_are_taken() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work, size=2, batch=2)
    fed = threading.Thread(target=lambda: [add(queue, str(number)) for number in range(50)])
    fed.start()
    found: list[str] = []
    while len(found) < 50:
        found += [told(one) for one in queue.results()]
    fed.join()
    assert found == [str(number) for number in range(50)]
    assert queue.metrics()["dropped"] == 0
    queue.close()


def test_without_a_reader_blocking_stops_computing_but_close_still_ends() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work, size=2, batch=1)
    for text in "abcd":
        add(queue, text)
    with pytest.raises(QueueFullError, match="results were not taken"):
        add(queue, "e", timeout=0.0)
        add(queue, "f", timeout=0.0)
        add(queue, "g", timeout=0.0)
    queue.close()
    assert balanced(queue)
    assert [told(one) for one in queue.results()][-1] in "def", "the newest results are kept for whoever still asks"


def test_dropping_the_oldest_is_bounded_and_counted() -> None:
    work = Work()
    queue = queue_of(work, size=2, batch=1, overflow="drop_oldest")
    add(queue, "a")
    assert work.begun.wait(30)
    for text in "bcdefg":
        add(queue, text)
    assert queue.metrics()["inputs"] == 2
    work.go.set()
    queue.close()
    found = list(queue.results())
    assert [told(one) for one in found] == ["f", "g"]
    assert queue.metrics()["dropped"] == 5
    assert balanced(queue)


def test_callbacks_come_in_order_and_a_broken_one_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    work.go.set()
    heard: list[str] = []

    def callback(result: RealTimeResult) -> None:
        heard.append(told(result))
        if result.sequence in (1, 2):
            raise KeyError("mine") if result.sequence == 1 else SystemExit

    queue = queue_of(work)
    for text in ("a", "b", "c", "d"):
        add(queue, text, callback=callback)
    queue.close()
    assert heard == ["a", "b", "c", "d"]
    assert "real_time_callback_failed" in caplog.text
    assert queue.metrics()["failed"] == 2


def test_a_callback_that_takes_results_does_not_wait_for_itself() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work)
    taken: list[str] = []
    done = threading.Event()

    def callback(result: RealTimeResult) -> None:
        taken.extend(told(one) for one in queue.results(wait=True))
        done.set()

    add(queue, "a")
    add(queue, "b", callback=callback)
    assert done.wait(30)
    queue.close()
    assert taken == ["a"]


def test_a_callback_may_add_and_may_close() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work)
    heard: list[str] = []
    done = threading.Event()

    def last(result: RealTimeResult) -> None:
        heard.append(told(result))
        queue.close()
        done.set()

    def first(result: RealTimeResult) -> None:
        heard.append(told(result))
        add(queue, "b", callback=last)

    add(queue, "a", callback=first)
    assert done.wait(30)
    queue.close()
    assert heard == ["a", "b"]


def test_closing_finishes_what_waits_ends_readers_and_refuses_more() -> None:
    work = Work()
    queue = queue_of(work)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(told(one) for one in queue.results(wait=True)))
    reader.start()
    for text in "abc":
        add(queue, text)
    work.go.set()
    queue.close()
    reader.join(30)
    assert not reader.is_alive()
    assert found == ["a", "b", "c"]
    with pytest.raises(NotReadyError):
        add(queue, "d")


def test_no_thread_is_left_where_nothing_is_to_do() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work)
    add(queue, "a")
    assert [told(one) for one in queue.results()] == ["a"]
    queue.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "multimodal-real-time"]


def test_many_threads_lose_and_double_nothing() -> None:
    work = Work()
    work.go.set()
    queue = queue_of(work, size=5, batch=3)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.extend(add(queue, "x") for _ in range(40))) for _ in range(8)
    ]
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(one.sequence for one in queue.results(wait=True)))
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.close()
    reader.join(30)
    assert sorted(numbers) == list(range(320))
    assert found == list(range(320))
