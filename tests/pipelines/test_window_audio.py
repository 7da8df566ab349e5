"""Sound in windows, to the sample: what a user would lose is that a recording means the same however it was chunked."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.packet import SECOND, Packet
from pipelines.window import StreamTime, Window, Windower
from pipelines.windowing.grid import middle_of, sample_at

RATES = [16000, 44100, 48000]


def chunk(time: int, first: int, count: int, rate: int = 16000) -> Packet:
    """Samples that count from `first`, in two channels: thousands and the rest."""
    values = np.stack(np.divmod(np.arange(first, first + count), 1000), axis=1).astype(np.int16)
    return Packet("mic", "audio", time, values, rate)


def samples(window: Window) -> list[int]:
    values = np.concatenate([np.asarray(packet.payload, np.int64) for packet in window.packets.get("mic", ())])
    return list(values @ [1000, 1])


def feed(windower: Windower, *packets: Packet) -> list[Window]:
    """All windows of these packets, the stream having ended."""
    return [window for packet in packets for window in windower.push(packet, 0)] + windower.close("mic")


def test_a_chunk_is_cut_at_the_edge_and_the_rest_comes_later() -> None:
    """
    mic      |---- 1 s ----|
    window   [ 0 ---- 0.5 )[ 0.5 ---- 1 )
    """
    windower = Windower(length=SECOND // 2, streams=["mic"])
    first, second = windower.push(chunk(0, 0, 16000), 0)  # its end closes both
    assert samples(first) == list(range(8000))
    assert samples(second) == list(range(8000, 16000))
    (cut,) = second.packets["mic"]
    assert (cut.timestamp, cut.end, cut.rate) == (SECOND // 2, SECOND, 16000)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("offset", [0, 1, 333, 10_416, 10_417, 20_833, 31_249, 31_251, 987_654_321])
def test_the_sample_at_an_edge_is_the_nearest(rate: int, offset: int) -> None:
    edge = 1_760_000_002 * SECOND
    start = edge - SECOND // 2 - offset
    first, *_ = feed(Windower(length=2 * SECOND, streams=["mic"]), chunk(start, 0, rate * 2, rate))
    assert len(samples(first)) == round((edge - start) * rate / 1e9)


@given(st.integers(-(10**18), 10**18), st.integers(-(10**10), 10**10), st.sampled_from([1, 3, *RATES, 192_000]))
def test_a_sample_is_where_its_middle_is(anchor: int, away: int, rate: int) -> None:
    edge = anchor + away
    sample = sample_at(edge, anchor, rate)
    assert middle_of(sample, anchor, rate) >= edge > middle_of(sample - 1, anchor, rate)
    assert abs(sample - away * rate / 1e9) < 0.5 + 1e-3


def windows_of(
    start: int, rate: int, total: int, cuts: list[int], *, length: int, hop: int
) -> list[tuple[object, ...]]:
    windower = Windower(length=length, hop=hop, streams=["mic"])
    windows: list[Window] = []
    for begin, end in zip([0, *cuts], [*cuts, total], strict=True):
        windows += windower.push(chunk(start + begin * SECOND // rate, begin, end - begin, rate), 0)
    assert windower.counters["mic"].trimmed == windower.counters["mic"].late == 0
    windows += windower.close("mic")
    return [(w.id, w.packets["mic"][0].timestamp, samples(w)) for w in windows]


@settings(deadline=None)
@given(
    rate=st.sampled_from(RATES), start=st.integers(0, 4 * SECOND), total=st.integers(1, 9000),
    sizes=st.tuples(st.integers(10**7, 10**8), st.sampled_from([0, 1, 10**7])), dice=st.randoms(use_true_random=False),
)  # fmt: skip
@example(rate=44100, start=49_999_671 - 44, total=4410, sizes=(10**8, 0), dice=Random(1))
def test_the_samples_of_a_window_do_not_depend_on_the_chunks(
    rate: int, start: int, total: int, sizes: tuple[int, int], dice: Random
) -> None:
    """Every chunk's timestamp is floored to a nanosecond, as sources do."""
    hop, more = sizes
    whole = windows_of(start, rate, total, [], length=hop + more, hop=hop)
    for _ in range(3):
        cuts = sorted(dice.sample(range(1, total), min(dice.randint(0, 60), total - 1))) if total > 1 else []
        assert windows_of(start, rate, total, cuts, length=hop + more, hop=hop) == whole
    if more == 0:
        assert [value for _, _, held in whole for value in held] == list(range(total))  # type: ignore[attr-defined]


def test_an_edge_near_the_middle_of_a_sample_is_decided_once_for_all_chunks() -> None:
    """At 44.1 kHz the floored timestamps of two chunkings put such an edge on different sides; one anchor does not."""
    rate, edge, differed = 44100, 10**8, 0
    starts = [s for s in range(300_000) if 5_000_000 - 440 <= (edge - s) * 441 % 10_000_000 < 5_000_000]
    for start in starts[:8]:
        want = windows_of(start, rate, 5000, [], length=edge, hop=edge)
        for size in (7, 43, 441):
            assert windows_of(start, rate, 5000, list(range(size, 5000, size)), length=edge, hop=edge) == want
        alone = {
            first + sample_at(edge, start + first * SECOND // rate, rate)  # as each packet alone would have it
            for size in (7, 43, 441)
            if (first := len(want[0][2]) // size * size)  # type: ignore[arg-type]
        }
        differed += len(alone) > 1
    assert differed


def test_an_overlap_costs_the_overlapping_samples_only() -> None:
    """A SampleClock stamps the second chunk three samples early: three are lost, not the chunk."""
    windower = Windower(length=2 * SECOND, streams=["mic"])
    (window,) = feed(windower, chunk(0, 0, 8000), chunk(SECOND // 2 - 3 * 62_500, 8000, 8003))
    assert samples(window) == [*range(8000), *range(8003, 16003)]
    counts = windower.counters["mic"]
    assert (counts.admitted, counts.late, counts.trimmed) == (2, 0, 3)


def test_an_overlap_of_less_than_half_a_sample_costs_nothing() -> None:
    windower = Windower(length=2 * SECOND, streams=["mic"])
    (window,) = feed(windower, chunk(0, 0, 8000), chunk(SECOND // 2 - 31_000, 8000, 8001))
    assert samples(window) == list(range(16001))


def test_what_lies_behind_the_progress_altogether_is_late() -> None:
    late: list[str] = []
    windower = Windower(length=SECOND, streams=["mic"], late=lambda packet, reason: late.append(reason))
    windower.push(chunk(0, 0, 8000), 0)
    windower.push(chunk(0, 0, 8000), 0)
    windower.push(chunk(100, 0, 7999), 0)
    assert late == ["behind_bound", "behind_bound"]


def test_the_newest_end_counts_not_the_newest_start() -> None:
    """One chunk of a second: what starts before its end is behind, bound or no bound taken off."""
    windower = Windower(length=2 * SECOND, streams={"mic": StreamTime(bound=SECOND // 4)})
    (window,) = feed(windower, chunk(0, 0, 16000), chunk(SECOND // 2, 100, 8000))  # from 0.75 s on within the bound
    assert samples(window) == [*range(16000), *range(4100, 8100)]


def test_a_window_closes_as_soon_as_its_last_sample_is_there() -> None:
    windower = Windower(length=SECOND, streams=["mic"])
    assert windower.push(chunk(0, 0, 15_999), 0) == []
    (window,) = windower.push(chunk(15_999 * 62_500, 15_999, 1), 0)
    assert samples(window) == list(range(16000))


def test_a_change_of_rate_begins_anew() -> None:
    windower = Windower(length=SECOND, streams=["mic"])
    (window,) = feed(windower, chunk(0, 0, 8000, 16000), chunk(SECOND // 2, 8000, 24000, 48000))
    assert samples(window) == list(range(32000))
    assert [p.rate for p in window.packets["mic"]] == [16000, 48000]
