"""A graph over many rows finds what a scan of all of them finds, whatever was deleted, replaced, filtered or saved before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from multimodal.errors import InputError
from multimodal.retrieval import ExactIndex, SegmentedIndex, graph, segments
from multimodal.retrieval import index as index_module

DIMENSION, COUNT = 32, 3000


def clustered(count: int, seed: int) -> NDArray[np.float32]:
    """Around forty centres, as encodings of the same few things are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, DIMENSION))
    rows = centres[random.integers(40, size=count)] + 0.7 * random.standard_normal((count, DIMENSION))
    return rows.astype(np.float32)


ROWS, QUESTIONS = clustered(COUNT, 1), clustered(30, 2)


@pytest.fixture
def always_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small as they are, the segments of these tests are to be searched by their graphs."""
    monkeypatch.setattr(graph, "SCAN", 0)


def both(**options: int) -> tuple[SegmentedIndex, ExactIndex]:
    index, plain = SegmentedIndex(DIMENSION, threads=1, exact_until=500, **options), ExactIndex(DIMENSION)
    index.extend(range(COUNT), ROWS, range(COUNT))
    plain.extend(range(COUNT), ROWS, range(COUNT))
    return index, plain


def recall(index: SegmentedIndex, plain: ExactIndex, between: tuple[int, int] | None = None, k: int = 10) -> float:
    shares = []
    for question in QUESTIONS:
        found, wanted = index.query(question, k, between), plain.query(question, k, between)
        assert len(found) == len(wanted)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        own = dict(wanted)
        assert all(hit.score == own[hit.key] for hit in found if hit.key in own)
        shares.append(len({hit.key for hit in found} & own.keys()) / len(wanted) if wanted else 1.0)
    return float(np.mean(shares))


@pytest.mark.usefixtures("always_graph")
@pytest.mark.parametrize("segment_rows", [4096, 1000])
def test_graphs_find_nearly_all_that_is_nearest_and_score_it_exactly(segment_rows: int) -> None:
    index, plain = both(segment_rows=segment_rows)
    told: list[tuple[int, int]] = []
    index.build(lambda done, total: told.append((done, total)))
    assert told[-1] == (COUNT, COUNT) and index.waiting == 0
    assert recall(index, plain) >= 0.98
    assert len(index) == COUNT and 7 in index and COUNT not in index


def test_without_a_graph_every_answer_is_exact() -> None:
    index, plain = both()
    assert index.waiting == COUNT
    for question in QUESTIONS:
        assert index.query(question, 10) == plain.query(question, 10)
        assert index.query(question, 10, (100, 400)) == plain.query(question, 10, (100, 400))


@pytest.mark.usefixtures("always_graph")
def test_what_was_deleted_or_replaced_never_comes_back_and_hides_nothing() -> None:
    index, plain = both(segment_rows=2000)
    index.build()
    fresh = clustered(COUNT, 5)
    for key in range(0, COUNT, 2):
        index.remove(key)
        plain.remove(key)
    index.extend(range(1, COUNT, 6), fresh[1::6], range(1, COUNT, 6))
    plain.extend(range(1, COUNT, 6), fresh[1::6], range(1, COUNT, 6))
    index.remove(10**6)
    assert len(index) == len(plain) == COUNT // 2
    assert recall(index, plain) >= 0.98
    index.build()
    assert index.waiting == 0 and len(index) == len(plain)
    assert recall(index, plain) >= 0.98
    for key in list(range(1, COUNT, 2)):
        index.remove(key)
    assert len(index) == 0 and index.query(QUESTIONS[0], 5) == []


@pytest.mark.parametrize("scan", [0, 300, 65_536])
@pytest.mark.parametrize("between", [(0, 30), (1400, 1500), (500, 2900), (2999, 3000), (5000, 6000)])
def test_a_time_filter_loses_nothing(monkeypatch: pytest.MonkeyPatch, scan: int, between: tuple[int, int]) -> None:
    monkeypatch.setattr(graph, "SCAN", scan)
    index, plain = both(segment_rows=2000)
    index.build()
    assert recall(index, plain, between) >= 0.98


def test_times_out_of_order_are_filtered_as_well() -> None:
    index, plain = SegmentedIndex(DIMENSION, threads=1), ExactIndex(DIMENSION)
    times = np.random.default_rng(3).permutation(COUNT).tolist()
    for one in (index, plain):
        one.extend(range(COUNT), ROWS, times)
    index.build()
    assert recall(index, plain, (1000, 1200)) == 1.0


@pytest.mark.usefixtures("always_graph")
def test_what_the_filter_leaves_is_found_where_none_of_it_is_near_the_question() -> None:
    """Questions about what was not there in that hour: the graph names none of its rows."""
    index, plain = SegmentedIndex(DIMENSION, threads=1), ExactIndex(DIMENSION)
    near, far = clustered(4000, 7), -clustered(500, 8)
    rows, times = np.concatenate([near, far]), [0] * 4000 + [1] * 500
    for one in (index, plain):
        one.extend(range(4500), rows, times)
    index.build()
    assert recall(index, plain, (1, 2)) >= 0.98


def test_rows_that_went_into_a_graph_are_not_kept_twice() -> None:
    index = SegmentedIndex(4, threads=1, connectivity=2, expansion_add=2)
    count = 2 * index_module.ROWS
    index.extend(range(count), np.random.default_rng(0).standard_normal((count, 4)), [0] * count)
    index.build()
    assert sum(rows.used for rows in index._tail._segments) == 0


def test_rows_that_come_one_by_one_wander_into_the_graph_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "TAIL", 20)
    index = SegmentedIndex(DIMENSION, exact_until=100, threads=1)
    longest = 0
    for key in range(400):
        before = index.waiting
        index.add(key, ROWS[key], key)
        longest = max(longest, before + 1 - index.waiting)
        assert index.query(ROWS[key], 1)[0].key == key
    assert longest == 2 and index.waiting == 20


@pytest.mark.usefixtures("always_graph")
def test_saved_and_loaded_it_gives_equal_answers_and_grows_on(tmp_path: Path) -> None:
    index, plain = both(segment_rows=1500)
    index.build()
    for key in (3, 500, 2500):
        index.remove(key)
        plain.remove(key)
    index.add(5000, QUESTIONS[0], 9)
    plain.add(5000, QUESTIONS[0], 9)
    index.save(tmp_path / "index")
    again = SegmentedIndex.load(tmp_path / "index")
    for question in QUESTIONS:
        for between in (None, (200, 1900)):
            assert again.query(question, 10, between) == index.query(question, 10, between)
    again.save(tmp_path / "index")  # over the files that it is mapped from
    again.extend(range(6000, 6100), clustered(100, 9), [10] * 100)
    plain.extend(range(6000, 6100), clustered(100, 9), [10] * 100)
    again.build()
    assert len(again) == len(plain)
    assert recall(again, plain) >= 0.98
    assert SegmentedIndex.load(tmp_path / "index", verify=False).query(QUESTIONS[0], 10) == index.query(QUESTIONS[0], 10)


def test_all_cosines_and_those_asked_for_again_are_of_graphs_and_tail() -> None:
    index, plain = both(segment_rows=2000)
    index.build()
    for one in (index, plain):
        one.extend(range(COUNT, COUNT + 50), QUESTIONS.repeat(2, 0)[:50], range(COUNT, COUNT + 50))
    keys, cosines = index.cosines(QUESTIONS[0], (100, COUNT + 20))
    own, wanted = plain.cosines(QUESTIONS[0], (100, COUNT + 20))
    assert dict(zip(keys.tolist(), cosines.tolist(), strict=True)) == pytest.approx(
        dict(zip(own.tolist(), wanted.tolist(), strict=True)), abs=2e-3
    )
    some = [COUNT + 3, 5, 2500, 700]
    assert index.exact(QUESTIONS[0], some).tolist() == plain.exact(QUESTIONS[0], some).tolist()
    with pytest.raises(KeyError):
        index.exact(QUESTIONS[0], [10**6])


@pytest.mark.parametrize("options", [{"segment_rows": 0}, {"expansion": 0}, {"exact_until": -1}])
def test_a_wrong_size_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="above 0"):
        SegmentedIndex(DIMENSION, **options)


def test_a_refused_row_replaces_nothing() -> None:
    index = SegmentedIndex(DIMENSION, exact_until=0, threads=1)
    index.extend([1], ROWS[:1], [0])
    index.build()
    with pytest.raises(InputError):
        index.extend([1], np.full((1, DIMENSION), np.nan), [0])
    assert index.query(ROWS[0], 1)[0].key == 1
