"""Watermarks: Flink's documented valve and idleness, told again as timelines.

If these failed, a window would close before its packets came, or a dead camera would stop all the others for ever.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.watermark import StreamTime, Watermarks


def test_the_slowest_stream_tells_the_time() -> None:
    """
    a  1 . . 5 . 9
    b  . 3 . . 4 .
       -  1  3  4       the minimum, once both have shown something
    """
    marks = Watermarks(["a", "b"])
    assert marks.observe("a", 1, 0) is None
    assert marks.value is None
    assert marks.observe("b", 3, 0) == 1
    assert marks.observe("a", 5, 0) == 3
    assert marks.observe("b", 4, 0) == 4
    assert marks.observe("a", 9, 0) is None
    assert marks.value == 4


def test_an_older_time_changes_nothing() -> None:
    marks = Watermarks(["a"])
    marks.observe("a", 5, 0)
    assert marks.observe("a", 3, 0) is None
    assert marks.observe("a", 5, 0) is None
    assert marks.value == 5


def test_the_bound_is_taken_off_each_stream() -> None:
    marks = Watermarks(["a", "b"], bound=2)
    marks.observe("a", 10, 0)
    assert marks.observe("b", 9, 0) == 7
    mixed = Watermarks({"a": StreamTime(bound=5), "b": StreamTime()})
    mixed.observe("a", 10, 0)
    assert mixed.observe("b", 9, 0) == 5


def test_an_idle_stream_is_not_waited_for() -> None:
    marks = Watermarks(["a", "b"])
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    assert marks.mark_idle("b") == 8
    assert marks.mark_idle("b") is None
    assert marks.observe("a", 9, 0) == 9


def test_a_stream_that_wakes_counts_again_once_it_has_reached_the_last_output() -> None:
    """
    a  8        9    20      30
    b  3  idle     5    12      25
          8  9  -  20   -   30   -      b is behind all the time, so it holds nothing back
    """
    marks = Watermarks(["a", "b"])
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    marks.mark_idle("b")
    assert marks.observe("a", 9, 0) == 9
    assert marks.observe("b", 5, 0) is None
    assert not marks.counts("b")
    assert marks.observe("a", 20, 0) == 20
    assert marks.observe("b", 12, 0) is None
    assert marks.observe("b", 20, 0) is None
    assert marks.counts("b")
    assert marks.observe("a", 30, 0) is None  # b holds it again
    assert marks.observe("b", 25, 0) == 25


def test_a_stream_that_wakes_ahead_counts_at_once() -> None:
    marks = Watermarks(["a", "b"])
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    marks.mark_idle("b")
    assert marks.observe("b", 50, 0) is None
    assert marks.observe("a", 60, 0) == 50


def test_when_all_are_idle_the_highest_of_all_is_put_out() -> None:
    """Flink does so only where the last one to fall asleep held the output back; here it is so in every order."""
    for order in ("ab", "ba"):
        marks = Watermarks(["a", "b"])
        marks.observe("a", 8, 0)
        marks.observe("b", 3, 0)
        for stream in order:
            marks.mark_idle(stream)
        assert marks.value == 8


def test_all_idle_at_one_tick_flush_once() -> None:
    marks = Watermarks(["a", "b"], idle_after=10)
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    assert marks.tick(9) is None
    assert marks.tick(10) == 8


def test_idle_is_counted_from_the_last_sign_of_life() -> None:
    marks = Watermarks(["a", "b"], idle_after=10)
    marks.observe("a", 1, 0)
    marks.observe("b", 2, 0)
    marks.observe("a", 1, 5)  # an old time is a sign of life, too
    marks.observe("b", 9, 7)
    assert marks.tick(14) is None
    assert marks.tick(15) == 9


def test_a_stream_that_never_sent_is_idle_after_its_opening() -> None:
    marks = Watermarks(["camera", "absent"], idle_after=10)
    marks.observe("camera", 5, 100)  # both open here
    marks.observe("camera", 6, 109)
    assert marks.tick(109) is None
    assert marks.tick(110) == 6


def test_each_stream_may_have_its_own_patience() -> None:
    marks = Watermarks({"a": StreamTime(), "b": StreamTime(idle_after=3)})
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    assert marks.tick(3) == 8
    assert marks.tick(10**6) is None


def test_no_stream_has_sent_anything() -> None:
    marks = Watermarks(["a"], idle_after=1)
    assert marks.tick(0) is None
    assert marks.tick(5) is None
    assert marks.value is None
    assert Watermarks([]).tick(0) is None


def test_a_closed_stream_is_never_waited_for() -> None:
    marks = Watermarks(["a", "b"])
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    assert marks.close("b") == 8
    with pytest.raises(ValueError, match="closed"):
        marks.observe("b", 4, 0)
    assert marks.close("a") is None
    assert marks.value == 8


def test_the_last_close_puts_out_the_highest() -> None:
    marks = Watermarks(["a", "b"])
    marks.observe("a", 8, 0)
    marks.observe("b", 3, 0)
    assert marks.close("a") is None
    assert marks.close("b") == 8


def test_a_stream_that_joins_holds_nothing_back_until_it_has_caught_up() -> None:
    marks = Watermarks(["a"], idle_after=10)
    marks.observe("a", 8, 0)
    marks.open("b", 0)
    assert marks.observe("a", 9, 1) == 9
    assert marks.observe("b", 9, 1) is None
    assert marks.observe("a", 12, 1) is None
    assert marks.observe("b", 11, 1) == 11


def test_an_unknown_stream_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'c'.*\['a', 'b'\]"):
        Watermarks(["b", "a"]).observe("c", 1, 0)


Step = tuple[str, str, int]


@given(st.lists(st.tuples(st.sampled_from(["see", "idle", "tick"]), st.sampled_from("abc"), st.integers(0, 60))))
def test_it_never_falls_and_is_the_minimum_of_those_that_count(steps: list[Step]) -> None:
    marks = Watermarks("abc", bound=3, idle_after=20)
    progress: dict[str, int] = {}
    now = 0
    for kind, stream, number in steps:
        before = marks.value
        if kind == "see":
            moved = marks.observe(stream, number, now)
            progress[stream] = max(progress.get(stream, -3), number - 3)
        elif kind == "idle":
            moved = marks.mark_idle(stream)
        else:
            now += number
            moved = marks.tick(now)
        assert (moved is not None) == (marks.value != before)
        assert moved is None or moved == marks.value
        assert before is None or (marks.value is not None and marks.value >= before)
        counting = [name for name in "abc" if marks.counts(name)]
        if marks.value is not None and counting:
            assert marks.value <= min(progress[name] for name in counting)
