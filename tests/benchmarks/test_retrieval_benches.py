"""The measures of search tell good vectors from bad ones, and compare engines on the same questions."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import index
from benchmarks.trials.by_example import by_example


def test_the_precision_of_questions_by_example_is_the_plain_one() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((40, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes = random.integers(8, size=40).tolist()
    precisions, firsts = [], []
    for asked in range(40):
        others = sorted((o for o in range(40) if o != asked), key=lambda o: -float(vectors[o] @ vectors[asked]))
        right = [classes[o] == classes[asked] for o in others]
        if any(right):
            places = [place for place, good in enumerate(right, 1) if good]
            precisions.append(np.mean([n / place for n, place in enumerate(places, 1)]))
            firsts.append(right[0])
    found = by_example(vectors, classes)
    assert found["mAP"] == pytest.approx(np.mean(precisions))
    assert found["R@1"] == pytest.approx(np.mean(firsts))
    assert found["R@5"] >= found["R@1"]


def test_the_index_bench_measures_every_engine_by_the_exact_answers() -> None:
    figures = {figure.name: figure for figure in index.measure(2000, 5, None)}
    assert figures["2k: segments, recall@10"].value == 1.0  # so few rows are scanned
    assert figures["2k: in 10% of the time, recall@10"].value == 1.0
    assert "recall@10" in figures["2k: bare usearch, p95"].note
    assert figures["2k: segments to bare usearch"].value > 0


def test_made_vectors_are_as_near_to_one_another_as_said() -> None:
    rows, asked = (index.vectors(count, seed).astype(np.float32) for count, seed in ((20_000, 1), (50, 2)))
    cosines = np.sort(asked @ rows.T, axis=1)
    assert 0.6 < cosines[:, -1].mean() < 0.8 and abs(cosines.mean()) < 0.02
