"""Windows where the clock may decide. Timelines are in seconds; the clock stands above, event time in the streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.packet import SECOND, Bound, Gap, Packet
from pipelines.window import REFUSED, Cut, StreamTime, Window, Windower

HOUR = 3600


class Run:
    """A live Windower with what it told; all times in seconds, `now` being the event time unless it is said."""

    def __init__(self, streams: list[str] | Mapping[str, StreamTime], **options: Any) -> None:
        self.cuts: list[Cut] = []
        self.late: list[tuple[float, str]] = []
        seconds = {"length", "hop", "lateness", "idle_after", "deadline", "max_ahead"}
        options = {k: round(v * SECOND) if k in seconds and v is not None else v for k, v in options.items()}
        self.windower = Windower(
            length=options.pop("length", 2 * SECOND), streams=streams, on_cut=self.cuts.append,
            late=lambda packet, reason: self.late.append((packet.timestamp / SECOND, reason)), **options,
        )  # fmt: skip

    def push(self, stream: str, time: float, now: float | None = None, payload: str = "x") -> list[Window]:
        packet = Packet(stream, "text", round(time * SECOND), payload)
        return self.windower.push(packet, round((time if now is None else now) * SECOND))

    def tick(self, now: float) -> list[Window]:
        return self.windower.tick(round(now * SECOND))

    def bound(self, stream: str, time: float) -> list[Window]:
        bound = Bound(stream, round(time * SECOND))
        return self.windower.advance(bound.stream, bound.timestamp, bound.timestamp)

    def told(self) -> list[tuple[float, int, dict[str, str]]]:
        """The Cuts so far, as (start, revision, missing); they are told once."""
        told = [(cut.start / SECOND, cut.revision, dict(cut.missing)) for cut in self.cuts]
        self.cuts.clear()
        return told


def times(window: Window) -> dict[str, list[float]]:
    return {stream: [p.timestamp / SECOND for p in packets] for stream, packets in window.packets.items()}


def test_a_camera_that_freezes_is_not_waited_for() -> None:
    """
    now   .5     1.2            3.2      b was silent for 2 s
    a     .5            2.5
    b            1.2
          [ 0 ------- 2 )        * cut
    """
    run = Run(["a", "b"], idle_after=2)
    run.push("a", 0.5)
    run.push("b", 1.2)
    assert run.push("a", 2.5) == []
    assert run.tick(3.1) == []
    (window,) = run.tick(3.2)
    assert times(window) == {"a": [0.5], "b": [1.2]}
    assert (window.revision, window.complete) == (0, False)
    assert window.gaps == {"b": (Gap("b", round(1.2 * SECOND), 2 * SECOND, "idle"),)}
    first = run.cuts[0]
    assert (first.start, first.revision, first.through, first.missing) == (0, 0, {"a": 2, "b": 1}, {"b": "idle"})


def test_a_stream_that_is_absent_from_the_start_stalls_nobody() -> None:
    run = Run(["a", "absent"], idle_after=2)
    run.push("a", 10.5)
    run.push("a", 12.2)
    assert run.tick(12.4) == []
    (window,) = run.tick(12.5)
    assert window.gaps == {"absent": (Gap("absent", 10 * SECOND, 12 * SECOND, "idle"),)}


def test_each_stream_may_sleep_longer_than_the_others() -> None:
    run = Run({"a": StreamTime(), "b": StreamTime(idle_after=10 * SECOND)}, idle_after=2)
    run.push("b", 0.5)
    run.push("a", 2.5, now=2)
    assert run.tick(9) == []
    assert len(run.tick(10.5)) == 1


def test_no_push_makes_a_stream_idle_for_it_may_be_held_back() -> None:
    run = Run(["a", "b"], idle_after=2, deadline=0.5)
    run.push("b", 0.1)
    assert run.push("a", 5.0, now=1000) == []
    assert run.push("b", 0.2, now=1000) == []


def test_a_deadline_decides_and_the_slow_stream_fills_the_window_up_once() -> None:
    """
    now   .5     1    2.5         3         3.1
    a     .5                 2.2
    b            1    *              1.9       2.0
          [ 0 ---- 2 )  r0 at 2.5              r1 complete
    """
    run = Run(["a", "b"], deadline=0.5)
    run.push("a", 0.5)
    run.push("b", 1.0)
    run.push("a", 2.2)
    assert run.tick(2.4) == []
    (cut,) = run.tick(2.5)
    assert (times(cut), cut.complete, cut.revision) == ({"a": [0.5], "b": [1.0]}, False, 0)
    assert cut.gaps == {"b": (Gap("b", SECOND, 2 * SECOND, "deadline"),)}
    assert run.told() == [(0, 0, {"b": "deadline"})]
    assert run.push("b", 1.9, now=3) == []
    (full,) = run.push("b", 2.0, now=3.1)
    assert (times(full), full.complete, full.revision) == ({"a": [0.5], "b": [1.0, 1.9]}, True, 1)
    assert (full.id, full.gaps) == (cut.id, {})
    assert run.told() == []  # the full watermark alone caused it
    assert run.late == []


def test_a_cut_window_whose_packets_did_not_change_is_not_told_again() -> None:
    run = Run(["a", "b"], deadline=0.5)
    run.push("a", 0.5)
    run.push("b", 1.0)
    assert len(run.tick(2.5)) == 1
    assert run.push("a", 2.2) == []
    assert run.push("b", 2.0) == []


def test_a_cut_window_closes_when_the_active_streams_have_passed_the_lateness() -> None:
    """
    lateness 3, idle_after 1
    now   0   .5   2   2.1      4   5.0           6
    a         .5   2.0          4   5.0
    b     0            *  1.5           1.7 (late)
          [ 0 --- 2 )  r0           r1: b's 1.5 came in between
    """
    run = Run(["a", "b"], idle_after=1, lateness=3)
    run.push("b", 0.0)
    run.push("a", 0.5)
    run.push("a", 2.0)
    (cut,) = run.tick(2.1)
    assert (times(cut), run.told()) == ({"a": [0.5], "b": [0.0]}, [(0, 0, {"b": "idle"})])
    run.push("b", 1.5, now=2.5)
    assert len(run.push("a", 4.0)) == 1  # [2, 4), cut as well: b is awake and behind
    run.told()
    (filled,) = run.push("a", 5.0)
    assert (filled.start, filled.revision, filled.complete) == (0, 1, False)
    assert times(filled) == {"a": [0.5], "b": [0.0, 1.5]}
    assert filled.gaps == {"b": (Gap("b", round(1.5 * SECOND), 2 * SECOND, "idle"),)}
    assert run.told() == [(0, 1, {"b": "idle"})]
    run.push("b", 1.7, now=6)
    assert run.late == [(1.7, "window_closed")]
    counts = run.windower.counters["b"]
    assert (counts.received, counts.admitted, counts.late) == (3, 2, 1)


def test_the_close_of_a_cut_window_that_did_not_change_is_a_cut() -> None:
    """Without it a replay would take in what came too late for the live run."""
    run = Run(["a", "b"], idle_after=1, lateness=3)
    run.push("b", 0.0)
    run.push("a", 0.5)
    run.push("a", 2.0)
    run.tick(2.1)
    run.told()
    assert [w.start for w in run.push("a", 5.0)] == [2 * SECOND]
    assert (0, 1, {"b": "idle"}) in run.told()


def test_a_packet_for_a_window_that_was_closed_empty_is_late_and_told() -> None:
    """Nobody had spoken of [2, 4): the Cut is told when the packet comes that it keeps out."""
    run = Run(["a", "b"], idle_after=1)
    run.push("b", 0.5)
    run.push("a", 0.6)
    run.push("a", 10.0)
    run.tick(11)
    run.told()
    run.push("b", 3.0, now=11)
    run.push("b", 3.1, now=11)
    assert run.late == [(3.0, "window_closed"), (3.1, "window_closed")]
    assert run.told() == [(2, 0, {"b": "idle"}), (2, 1, {"b": "idle"})]


def test_a_window_that_was_empty_at_its_deadline_is_decided_when_its_stream_has_passed() -> None:
    """A camera three seconds slow beside a deadline of half a second still gives whole windows."""
    run = Run(["a"], deadline=0.5)
    windows = []
    for step in range(0, 80):
        windows += run.push("a", step / 10, now=step / 10 + 3)
        windows += run.tick(step / 10 + 3)
    assert [(w.start // SECOND, w.revision) for w in windows if w.complete][:3] == [(0, 1), (2, 1), (4, 1)]
    assert all(len(w.packets["a"]) == 20 for w in windows if w.complete)


def test_a_stream_that_wakes_counts_again_once_it_has_caught_up() -> None:
    run = Run(["a", "b"], idle_after=1)
    run.push("b", 0.5)
    run.push("a", 4.0)
    run.tick(4)
    run.push("b", 2.5, now=4.1)  # awake, but behind
    assert len(run.push("a", 6.0)) == 1
    run.push("b", 6.0)
    assert run.push("a", 9.0) == []  # it holds again
    assert len(run.push("b", 8.0, now=9)) == 1


def test_when_all_are_idle_what_is_over_comes_out() -> None:
    run = Run(["a", "b"], idle_after=1)
    run.push("a", 0.5)
    run.push("b", 0.7)
    run.push("b", 2.5)
    (window,) = run.tick(4)
    assert (times(window), window.complete) == ({"a": [0.5], "b": [0.7]}, False)


def test_words_do_not_hold_a_window_and_revise_it_once() -> None:
    """
    lateness 5
    camera  .5        2.0
    words                    1.2   1.4    Bound 2
            [ 0 ----- 2 ) r0 complete      r1
    """
    run = Run({"camera": StreamTime(), "words": StreamTime(holds=False)}, lateness=5)
    run.push("camera", 0.5)
    (window,) = run.push("camera", 2.0)
    assert (window.complete, window.revision) == (True, 0)
    assert run.told() == [(0, 0, {"words": "words"})]
    assert run.push("words", 1.2) + run.push("words", 1.4) == []
    (revised,) = run.bound("words", 2.0)
    assert (revised.revision, revised.complete) == (1, True)
    assert times(revised) == {"camera": [0.5], "words": [1.2, 1.4]}
    assert run.told() == []
    run.push("words", 1.9)
    assert run.late == [(1.9, "behind_bound")]


def test_words_that_take_too_long_are_late() -> None:
    run = Run({"camera": StreamTime(), "words": StreamTime(holds=False)}, lateness=5)
    run.push("camera", 0.5)
    run.push("camera", 2.0)
    run.push("words", 1.2)
    (revised,) = [w for w in run.push("camera", 7.0) if w.start == 0]
    assert (revised.revision, times(revised)["words"]) == (1, [1.2])
    run.push("words", 1.4)
    assert run.late == [(1.4, "window_closed")]
    assert (0, 1, {"words": "words"}) in run.told()


def test_words_that_were_there_need_no_cut() -> None:
    run = Run({"camera": StreamTime(), "words": StreamTime(holds=False)}, lateness=5)
    run.push("camera", 0.5)
    run.push("words", 1.0)
    run.bound("words", 2.0)
    assert len(run.push("camera", 2.0)) == 1
    assert run.told() == []


def test_with_lateness_zero_words_still_get_their_window_for_a_minute() -> None:
    run = Run({"camera": StreamTime(), "words": StreamTime(holds=False)})
    run.push("camera", 0.5)
    assert len(run.push("camera", 2.0)) == 1
    run.push("words", 1.2)
    (revised,) = run.bound("words", 2.0)
    assert (revised.revision, times(revised)["words"]) == (1, [1.2])
    run.push("camera", 4.0)
    run.push("camera", 64.0)
    run.push("words", 3.0)
    assert run.late == [(3.0, "window_closed")]


def test_a_stream_that_joins_takes_part_from_the_last_decided_end_on() -> None:
    run = Run(["a"])
    run.push("a", 0.5)
    run.push("a", 5.0)
    assert run.windower.open("b", 5 * SECOND) == []
    (joined,) = run.cuts
    assert (joined.start, joined.revision, joined.through, joined.missing) == (
        2 * SECOND, 0, {"a": 2, "b": 0}, {"b": "joined"},
    )  # fmt: skip
    run.push("b", 3.9)
    assert run.late == [(3.9, "behind_bound")]
    run.push("b", 4.5)
    run.push("b", 5.0)
    (window,) = run.push("a", 6.0) + run.push("b", 6.0)
    assert (times(window), window.complete) == ({"a": [5.0], "b": [4.5, 5.0]}, True)


def test_a_stream_that_joins_before_anything_was_decided_misses_nothing() -> None:
    run = Run(["a"])
    run.push("a", 0.5)
    run.windower.open("b", SECOND)
    run.push("b", 0.1)
    (window,) = run.push("b", 2.0) + run.push("a", 2.0)
    assert (times(window), run.late) == ({"a": [0.5], "b": [0.1]}, [])


def test_a_stream_that_comes_back_goes_on_where_it_was() -> None:
    run = Run(["a", "b"])
    run.push("a", 0.5)
    run.push("b", 0.5)
    run.windower.close("b")
    assert len(run.push("a", 4.5)) == 1
    run.windower.open("b", 5 * SECOND)
    run.push("b", 3.0)
    run.push("b", 4.2)
    assert run.late == [(3.0, "behind_bound")]
    (window,) = run.push("b", 6.0) + run.push("a", 6.0)
    assert times(window) == {"a": [4.5], "b": [4.2]}


def test_a_stop_cuts_what_streams_are_short_of() -> None:
    run = Run(["a", "b"])
    run.push("a", 0.5)
    run.push("b", 2.5)
    (first, second) = run.windower.close()
    assert [(w.start // SECOND, w.complete) for w in (first, second)] == [(0, False), (2, False)]
    assert first.gaps == {"a": (Gap("a", SECOND // 2, 2 * SECOND, "stopped"),)}
    assert run.told() == [(0, 0, {"a": "stopped"}), (2, 0, {"a": "stopped", "b": "stopped"})]
    run.push("a", 0.6)
    assert run.late == [(0.6, "stream_closed")]


def test_a_stop_closes_what_was_cut_before() -> None:
    run = Run(["a", "b"], deadline=0.5)
    run.push("a", 0.5)
    run.tick(3)
    run.push("b", 0.7, now=3)
    run.told()
    (filled,) = run.windower.close()
    assert (filled.revision, times(filled)) == (1, {"a": [0.5], "b": [0.7]})
    assert run.told() == [(0, 1, {"a": "stopped", "b": "stopped"})]


def test_what_is_too_far_from_now_is_refused_and_moves_nothing() -> None:
    run = Run(["a"], max_ahead=HOUR)
    run.push("a", 10_000)
    for time in (10_000 + HOUR + 1, 10_000 - HOUR - 1, 2.0**62 / SECOND, 0, -5):
        assert run.push("a", time, now=10_000) == []
    assert run.push("a", 10_000 + HOUR, now=10_000)
    assert {reason for _, reason in run.late} == {"max_ahead"} <= REFUSED
    counts = run.windower.counters["a"]
    assert (counts.received, counts.admitted, counts.late, counts.refused) == (7, 2, 0, 5)
    run.told()
    assert run.windower.close()
    assert run.cuts[-1].through == {"a": 2}  # a refused packet is not counted: a replay skips it


def test_closed_windows_are_forgotten_after_the_lateness_and_an_hour() -> None:
    run = Run(["a", "b"], idle_after=1, lateness=3)
    run.push("b", 0.5)
    run.push("a", 0.6)
    for second in range(2, HOUR + 40, 20):
        run.push("a", second)
        run.tick(second)
    horizon = HOUR + 22 - 3 - HOUR
    run.push("b", horizon - 1.0, now=HOUR + 22)
    run.push("b", horizon + 1.0, now=HOUR + 22)
    assert [reason for _, reason in run.late] == ["forgotten", "window_closed"]
    assert "forgotten" in REFUSED
    assert run.windower.counters["b"].refused == 1


def test_a_window_that_nobody_can_fill_up_is_closed_at_last() -> None:
    """Deadlines decide, the dead stream has no idle_after: the watermark stands still, memory must not grow."""
    run = Run(["a", "dead"], deadline=0.5)
    for second in range(3 * HOUR):
        run.push("a", second)
        run.tick(second)
    assert run.windower.held <= HOUR + 10
    closed = [cut for cut in run.cuts if cut.revision == 1]
    assert len(closed) > 1.9 * HOUR / 2


def test_a_spent_budget_decides_and_closes_the_oldest_window() -> None:
    """Each payload counts once, though two windows share it: three fit, the fourth does not."""
    run = Run(["a", "b"], hop=1, budget_bytes=300)
    for time in (1.5, 2.5, 3.5):
        assert run.push("a", time, payload="x" * 100) == []
    windows = run.push("a", 4.5, payload="x" * 100)
    assert [(w.start // SECOND, times(w)["a"], w.complete) for w in windows] == [
        (0, [1.5], False),
        (1, [1.5, 2.5], False),
    ]
    assert run.told() == [
        (0, 0, {"b": "budget"}), (0, 1, {"b": "budget"}), (1, 0, {"b": "budget"}), (1, 1, {"b": "budget"}),
    ]  # fmt: skip
    run.push("b", 1.7)
    assert run.late == [(1.7, "window_closed")]
    run.push("b", 2.9)
    assert len(run.late) == 1


def test_a_packet_larger_than_the_budget_comes_out_at_once() -> None:
    run = Run(["a"], budget_bytes=10)
    (window,) = run.push("a", 0.5, payload="x" * 100)
    assert (times(window), window.complete, run.windower.held) == ({"a": [0.5]}, False, 0)


def test_a_stream_that_brings_only_what_is_late_is_as_good_as_silent() -> None:
    """Its clock was set back: it must not hold up the others."""
    run = Run(["a", "broken"], idle_after=2)
    run.push("a", 100.0)
    run.push("broken", 100.0)
    windows = []
    for second in range(101, 110):
        windows += run.push("a", second)
        windows += run.push("broken", second - 90, now=second)
        windows += run.tick(second)
    assert [w.start // SECOND for w in windows] == [100, 102, 104, 106]


def test_a_replay_listens_to_no_clock() -> None:
    """Given cuts, be there none: every stream holds; idleness, deadline, max_ahead and budget are off."""
    run = Run(
        {"a": StreamTime(), "words": StreamTime(holds=False)},
        cuts=[], idle_after=1, deadline=1, max_ahead=1, budget_bytes=1, lateness=3,
    )  # fmt: skip
    assert run.push("a", 0.5, now=10**6) == []
    assert run.push("a", 100.0, now=10**6) == []
    assert run.tick(10**8) == []
    (window,) = run.push("words", 2.0)
    assert (window.complete, window.revision, run.told(), run.late) == (True, 0, [], [])


def test_a_cut_window_of_a_replay_is_what_the_first_packets_bring() -> None:
    cuts = [
        Cut(0, 0, {"a": 2, "b": 1}, {"b": "idle"}),
        Cut(0, 1, {"a": 2, "b": 2}, {"b": "idle"}),
    ]
    run = Run(["a", "b"], cuts=cuts)
    assert run.push("b", 0.1) + run.push("b", 1.1) + run.push("b", 1.2) == []
    first, second = run.push("a", 0.5) + run.push("a", 2.0)
    assert (first.revision, times(first), first.complete) == (0, {"a": [0.5], "b": [0.1]}, False)
    assert (second.revision, times(second), second.complete) == (1, {"a": [0.5], "b": [0.1, 1.1]}, False)
    assert run.late == [(1.2, "window_closed")]
    assert run.push("b", 2.0) == []


def test_a_replay_of_a_stream_far_behind_holds_a_handful() -> None:
    """A text of one line an hour, its head told as a Bound: the camera's packets are not kept for it."""
    run = Run(["camera", "text"], cuts=[])
    run.bound("text", HOUR)
    most = 0
    for tenth in range(36_000):
        run.push("camera", tenth / 10)
        most = max(most, run.windower.held)
    assert most <= 25
