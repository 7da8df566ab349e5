"""Windows by event time alone: no clock decides anything here, `now` is 0 throughout."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.packet import SECOND, Gap, Packet
from pipelines.window import Cut, StreamTime, Window, Windower, window_id

YEAR = 365 * 86400 * SECOND


def at(stream: str, seconds: float, payload: str = "") -> Packet:
    return Packet(stream, "text", round(seconds * SECOND), payload or f"{stream}@{seconds}")


def push(windower: Windower, *packets: Packet) -> list[Window]:
    return [window for packet in packets for window in windower.push(packet, 0)]


def shown(windows: list[Window]) -> list[tuple[float, dict[str, list[float]]]]:
    """Starts and packet times, in seconds."""
    return [
        (w.start / SECOND, {s: [p.timestamp / SECOND for p in packets] for s, packets in w.packets.items()})
        for w in windows
    ]


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    """
    a  .5   1.5    2.0          2.0 is the first instant of the next window, and the end of this one
       [ 0 ----------- 2 )[ 2 --
    """
    windower = Windower(length=2 * SECOND, streams=["a"])
    assert push(windower, at("a", 0.5), at("a", 1.5)) == []
    (window,) = push(windower, at("a", 2.0))
    assert (window.start, window.end, window.group) == (0, 2 * SECOND, "default")
    assert window.packets == {"a": (at("a", 0.5), at("a", 1.5))}
    assert (window.revision, window.complete, window.gaps) == (0, True, {})


def test_the_slowest_stream_is_waited_for() -> None:
    windower = Windower(length=2 * SECOND, streams=["a", "b"])
    assert push(windower, at("a", 0.5), at("a", 9.0), at("b", 1.9)) == []
    assert shown(push(windower, at("b", 2.0))) == [(0, {"a": [0.5], "b": [1.9]})]


def test_starts_are_multiples_of_the_hop_before_the_epoch_too() -> None:
    windower = Windower(length=2 * SECOND, hop=SECOND, streams=["a"])
    windows = push(windower, at("a", -0.5), at("a", 1.0))
    assert shown(windows) == [(-2, {"a": [-0.5]}), (-1, {"a": [-0.5]})]


def test_overlapping_windows_share_their_packets() -> None:
    windower = Windower(length=2 * SECOND, hop=SECOND, streams=["a"])
    windows = push(windower, at("a", 0.5), at("a", 1.5), at("a", 2.5), at("a", 3.0))
    assert shown(windows) == [(-1, {"a": [0.5]}), (0, {"a": [0.5, 1.5]}), (1, {"a": [1.5, 2.5]})]


def test_a_length_that_is_no_multiple_of_the_hop() -> None:
    windower = Windower(length=3 * SECOND, hop=2 * SECOND, streams=["a"])
    assert shown(push(windower, at("a", 0.5), at("a", 4.5), at("a", 7.0))) == [
        (-2, {"a": [0.5]}), (0, {"a": [0.5]}), (2, {"a": [4.5]}), (4, {"a": [4.5]}),
    ]  # fmt: skip


def test_a_jump_of_a_year_costs_nothing_and_gives_no_empty_window() -> None:
    windower = Windower(length=2 * SECOND, hop=1_000_000, streams=["a", "b"])
    assert len(push(windower, at("a", 0.0), at("b", 0.0))) == 0
    far = Packet("a", "text", 50 * YEAR, "later")
    windows = push(windower, far) + windower.advance("b", 50 * YEAR, 0)
    assert len(windows) == 2000  # those that hold the first packets, not 10^12 empty ones
    assert windower.held == 1


def test_a_gap_of_a_year_costs_nothing() -> None:
    windower = Windower(length=SECOND, streams=["a", "b"])
    assert windower.gap(Gap("b", 0, YEAR, "away"), 0) == []
    windows = push(windower, at("a", 5.5)) + windower.advance("a", YEAR, 0) + windower.advance("b", YEAR, 0)
    assert [w.gaps for w in windows] == [{"b": (Gap("b", 5 * SECOND, 6 * SECOND, "away"),)}]


def test_each_stream_has_its_own_bound_and_lateness_goes_by_the_newest_end() -> None:
    """
    a (bound 1 s)  3.0   2.0   1.9        2.0 is still in time, 1.9 is late
    """
    late: list[tuple[Packet, str]] = []
    windower = Windower(
        length=2 * SECOND,
        streams={"a": StreamTime(bound=SECOND), "b": StreamTime()},
        late=lambda packet, reason: late.append((packet, reason)),
    )
    push(windower, at("a", 3.0), at("a", 2.0), at("a", 1.9), at("b", 3.0), at("b", 2.9))
    assert late == [(at("a", 1.9), "behind_bound"), (at("b", 2.9), "behind_bound")]
    assert [windower.counters[s].late for s in "ab"] == [1, 1]


def test_equal_times_are_in_time() -> None:
    windower = Windower(length=2 * SECOND, streams=["a"])
    (window,) = push(windower, at("a", 1, "first"), at("a", 1, "second"), at("a", 2))
    assert [p.payload for p in window.packets["a"]] == ["first", "second"]


def test_packets_come_in_time_order() -> None:
    windower = Windower(length=2 * SECOND, streams={"a": StreamTime(bound=SECOND)})
    (window,) = push(windower, at("a", 1.0), at("a", 0.2), at("a", 0.6), at("a", 3.0))
    assert [p.timestamp / SECOND for p in window.packets["a"]] == [0.2, 0.6, 1.0]


def test_a_bound_lets_silence_advance() -> None:
    windower = Windower(length=2 * SECOND, streams=["a", "words"])
    push(windower, at("a", 0.5), at("a", 3.0))
    assert windower.advance("words", round(1.9 * SECOND), 0) == []
    (window,) = windower.advance("words", 2 * SECOND, 0)
    assert window.complete
    assert push(windower, at("words", 1.5)) == []
    assert windower.counters["words"].late == 1  # it had promised


def test_a_stream_that_ended_is_not_waited_for_and_the_windows_are_complete() -> None:
    cuts: list[Cut] = []
    windower = Windower(length=2 * SECOND, streams=["a", "b"], on_cut=cuts.append)
    push(windower, at("b", 0.1), at("a", 0.5), at("a", 2.5))
    (window,) = windower.close("b")
    assert (window.complete, window.gaps) == (True, {})
    (last,) = windower.close("a")
    assert (shown([last]), last.complete) == ([(2, {"a": [2.5]})], True)
    assert windower.close() == []
    assert cuts == []


def test_known_losses_show_in_the_windows_that_they_touch() -> None:
    windower = Windower(length=2 * SECOND, streams=["a"])
    push(windower, at("a", 0.5))
    windower.gap(Gap("a", SECOND, 3 * SECOND, "xrun"), 0)
    first, second = push(windower, at("a", 3.5), at("a", 4.0))
    assert first.gaps == {"a": (Gap("a", SECOND, 2 * SECOND, "xrun"),)}
    assert second.gaps == {"a": (Gap("a", 2 * SECOND, 3 * SECOND, "xrun"),)}
    assert first.complete


def test_a_gap_promises_nothing_and_makes_no_window() -> None:
    windower = Windower(length=2 * SECOND, streams=["a"])
    assert windower.gap(Gap("a", 0, 9 * SECOND, "away"), 0) == []
    assert shown(push(windower, at("a", 4.5), at("a", 6))) == [(4, {"a": [4.5]})]


def test_ids_are_the_same_on_every_run_and_machine() -> None:
    windower = Windower(length=2 * SECOND, streams=["a"], group="hall")
    (window,) = push(windower, at("a", 0.5), at("a", 2.0))
    assert window.id == window_id("hall", 0, 2 * SECOND) == "747fadc8caf624c666ddf9ef0348cfa5"
    ids = {window_id(g, s, n) for g in ("", "1", "1:1") for s in (0, 1, 11, -1) for n in (1, 11)}
    assert len(ids) == 24


def test_poisoned_times_in_one_stream_leave_the_others_as_they_are() -> None:
    """0, negative, equal, far ahead, beyond 64 bits: the stream that sends them has itself to blame, nobody else."""

    def camera(*poison: int) -> list[dict[str, tuple[Packet, ...]]]:
        windower = Windower(length=2 * SECOND, streams=["camera", "bad"])
        windows: list[Window] = []
        for second in range(100, 110):
            windows += windower.push(at("camera", second), 0)
            windows += windower.push(at("bad", second, "good"), 0)
            for time in poison:
                windows += windower.push(Packet("bad", "text", time, "poison"), 0)
        windows += windower.close()
        counts = windower.counters["bad"]
        assert counts.received == 10 + 10 * len(poison) == counts.admitted + counts.late + counts.refused
        return [{"camera": w.packets["camera"]} for w in windows if "camera" in w.packets]

    clean = camera()
    assert len(clean) == 5
    for poison in [(0,), (-(2**62),), (2**62,), (100 * SECOND, 100 * SECOND), (2**64, -(2**64)), (0, 2**62, -1)]:
        assert camera(*poison) == clean, poison


def test_every_packet_is_admitted_late_or_refused() -> None:
    late: list[str] = []
    windower = Windower(length=SECOND, streams=["a"], late=lambda packet, reason: late.append(reason))
    push(windower, at("a", 1), at("a", 0.5), at("a", 2), Packet("a", "text", 2**63, "?"))
    windower.push(Packet("a", "audio", 5 * SECOND, b"", 16000), 0)
    windower.push(Packet("a", "audio", 5 * SECOND, b"1", 0), 0)
    windower.close("a")
    push(windower, at("a", 9))
    counts = windower.counters["a"]
    assert (counts.received, counts.admitted, counts.late, counts.refused) == (7, 2, 1, 4)
    assert late == ["behind_bound", "bad_time", "bad_audio", "bad_audio", "stream_closed"]


def test_a_stream_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match=r"'b'.*\['a'\]"):
        push(Windower(length=SECOND, streams=["a"]), at("b", 0))


@pytest.mark.parametrize("wrong", [
    {"length": 0}, {"length": SECOND, "hop": 2 * SECOND}, {"length": SECOND, "hop": 0},
    {"length": SECOND, "lateness": -1}, {"length": SECOND, "deadline": -1},
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"="):
        Windower(streams=["a"], **wrong)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-50, 400)), max_size=60),
    st.integers(1, 30), st.integers(0, 30), st.randoms(use_true_random=False),
)  # fmt: skip
def test_windows_tile_the_axis_and_do_not_depend_on_the_interleaving(
    sent: list[tuple[str, int]], hop: int, more: int, dice: Random
) -> None:
    """Against the definition: a window holds exactly what its streams admitted in [start, end)."""
    length = hop + more
    bounds = {"a": 0, "b": 20}
    admitted: dict[str, list[int]] = {"a": [], "b": []}
    for stream, time in sent:
        if time >= max(admitted[stream], default=time) - bounds[stream]:
            admitted[stream].append(time)
    times = [time for of_stream in admitted.values() for time in of_stream]
    wanted = {}
    if times:
        for start in range((min(times) - length) // hop * hop, max(times) + 1, hop):
            inside = {s: sorted(t for t in admitted[s] if start <= t < start + length) for s in "ab"}
            if any(inside.values()):
                wanted[start] = {stream: held for stream, held in inside.items() if held}
    turns = [stream for stream, _ in sent]
    dice.shuffle(turns)
    queues = {s: [time for stream, time in sent if stream == s] for s in "ab"}
    windower = Windower(length=length, hop=hop, streams={s: StreamTime(bound=bounds[s]) for s in "ab"})
    windows = [w for s in turns for w in windower.push(Packet(s, "text", queues[s].pop(0), ""), 0)]
    windows += windower.close("a") + windower.close("b")
    assert [w.start for w in windows] == sorted(wanted)
    assert all(w.complete and w.revision == 0 for w in windows)
    assert {w.start: {s: [p.timestamp for p in held] for s, held in w.packets.items()} for w in windows} == wanted
    assert windower.held == 0
