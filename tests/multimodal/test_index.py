"""The index finds what a plain product finds, in the same order, whatever was added, replaced and removed before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.errors import InputError
from multimodal.retrieval.index import ROWS, ExactIndex


def vectors(count: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain(rows: dict[int, tuple[np.ndarray, int]], question: np.ndarray, k: int, between: tuple[int, int] | None):
    kept = {key: v for key, (v, time) in rows.items() if between is None or between[0] <= time < between[1]}
    halves = {key: v.astype(np.float16).astype(np.float64) for key, v in kept.items()}
    scores = {key: float(v @ question / np.linalg.norm(question)) for key, v in halves.items()}
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.integers(0, 12), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps=_steps, k=st.integers(1, 15), between=st.none() | st.tuples(st.integers(0, 15), st.integers(10, 31)))
def test_it_answers_as_a_plain_product_does(
    steps: list[tuple[str, int, int]], k: int, between: tuple[int, int] | None
) -> None:
    pool = vectors(40)
    index = ExactIndex(8)
    rows: dict[int, tuple[np.ndarray, int]] = {}
    for place, (kind, key, time) in enumerate(steps):
        if kind == "add":
            vector = pool[place % 40]
            index.add(key, vector, time)
            rows[key] = (vector, time)
        else:
            index.remove(key)
            rows.pop(key, None)
    question = pool[39].astype(np.float64)
    found = index.query(question, k, between)
    wanted = plain(rows, question, k, between)
    assert [hit.key for hit in found] == [key for key, _ in wanted]
    assert [hit.score for hit in found] == pytest.approx([score for _, score in wanted], abs=2e-3)
    assert len(index) == len(rows)


def test_over_many_segments_the_rough_product_never_costs_a_hit() -> None:
    rows = vectors(3 * ROWS + 17, 16, seed=1)
    index = ExactIndex(16)
    index.extend(range(len(rows)), rows, range(len(rows)))
    question = vectors(1, 16, seed=2)[0]
    exact = rows.astype(np.float16).astype(np.float64) @ question.astype(np.float64)
    best = np.argsort(-exact, kind="stable")[:50]
    assert [hit.key for hit in index.query(question, 50)] == best.tolist()
    half = index.query(question, 50, (ROWS, 2 * ROWS))
    inside = [key for key in np.argsort(-exact, kind="stable") if ROWS <= key < 2 * ROWS][:50]
    assert [hit.key for hit in half] == inside


def test_the_cosines_of_all_rows_are_near_and_those_asked_for_again_exact() -> None:
    rows = vectors(ROWS + 300, 16, seed=3)
    index = ExactIndex(16)
    index.extend(range(len(rows)), rows, range(len(rows)))
    for key in (0, 5, ROWS, len(rows) - 1):
        index.remove(key)
    question = vectors(1, 16, seed=4)[0]
    wanted = rows.astype(np.float16).astype(np.float64) @ question.astype(np.float64)
    for between in (None, (ROWS - 100, ROWS + 100)):
        keys, cosines = index.cosines(question, between)
        first, last = between or (0, len(rows))
        assert sorted(keys.tolist()) == sorted(set(range(first, last)) - {0, 5, ROWS, len(rows) - 1})
        assert np.abs(cosines - wanted[keys]).max() < 1e-3
    assert index.exact(question, [7, ROWS + 1, 3]) == pytest.approx(wanted[[7, ROWS + 1, 3]], abs=1e-6)
    assert index.cosines(np.zeros(16, np.float32))[0].size == 0
    assert index.cosines(question, (10**9, 10**10))[0].size == 0


def test_rows_of_any_length_are_compared_by_direction() -> None:
    rows = vectors(50, 8) * np.linspace(0.5, 20, 50, dtype=np.float32)[:, None]
    index, halves = ExactIndex(8), ExactIndex(8)
    index.extend(range(50), rows, [0] * 50)
    halves.extend(range(50), rows.astype(np.float16), [0] * 50)
    for key in range(50):
        assert index.query(rows[key], 1)[0] == (key, pytest.approx(1.0, abs=1e-3))
        assert halves.query(rows[key], 1)[0] == (key, pytest.approx(1.0, abs=1e-3))


def test_removed_rows_stop_costing_memory() -> None:
    rows = vectors(2 * ROWS, 4)
    index = ExactIndex(4)
    index.extend(range(len(rows)), rows, [0] * len(rows))
    for key in range(ROWS - 10):
        index.remove(key)
    assert len(index) == ROWS + 10
    assert sum(segment.used for segment in index._segments) <= 2 * ROWS
    assert {hit.key for hit in index.query(rows[0], 2 * ROWS)} == set(range(ROWS - 10, 2 * ROWS))


def test_of_a_key_that_comes_twice_in_one_call_the_last_vector_stays() -> None:
    index = ExactIndex(2)
    index.extend([1, 1], np.asarray([[1, 0], [0, 1]], np.float32), [0, 0])
    assert index.query(np.asarray([0, 1], np.float32), 5) == [(1, 1.0)]
    assert len(index) == 1 and 1 in index


def test_a_zero_question_finds_nothing_and_a_zero_row_is_alike_to_nothing() -> None:
    index = ExactIndex(2)
    index.add(1, np.zeros(2, np.float32), 0)
    assert index.query(np.zeros(2, np.float32), 5) == []
    assert index.query(np.ones(2, np.float32), 5) == [(1, 0.0)]


@pytest.mark.parametrize("bad", [np.ones(3, np.float32), np.asarray([np.nan, 1], np.float32)])
def test_a_vector_that_cannot_be_compared_is_refused(bad: np.ndarray) -> None:
    index = ExactIndex(2)
    with pytest.raises(InputError):
        index.add(1, bad, 0)
    assert len(index) == 0
