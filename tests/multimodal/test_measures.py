"""If these fail, unrelated spaces read as related, or a recall or coherence that is printed is not what was measured."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.measures import CoherenceBaseline, alignment, cka, modality_gap, ranks, recall, uniformity
from multimodal.errors import InputError


@pytest.fixture
def dice() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noise(dice: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=dice, dtype=torch.float64)


class TestCka:
    def test_the_debiased_one_reads_nothing_in_noise_where_the_plain_one_reads_much(self, dice):
        debiased = [cka(noise(dice, 300, 384), noise(dice, 300, 384)) for _ in range(5)]
        plain = [cka(noise(dice, 300, 384), noise(dice, 300, 384), debiased=False) for _ in range(5)]
        assert max(map(abs, debiased)) < 0.02
        assert min(plain) > 0.5

    def test_a_turned_and_scaled_space_is_the_same_space(self, dice):
        x = noise(dice, 40, 10)
        turn = torch.linalg.qr(noise(dice, 10, 10))[0]
        assert cka(x, 3 * x @ turn + 5) == pytest.approx(1, abs=1e-9)

    def test_equals_the_estimator_as_published(self, dice):
        x, y = noise(dice, 12, 5), noise(dice, 12, 4)
        y[:, :2] += x[:, :2]

        def hsic(k: Tensor, m: Tensor) -> float:  # Song et al. 2012, equation 5, entry by entry
            n = len(k)
            k, m = k - torch.diag(k.diag()), m - torch.diag(m.diag())
            one = torch.ones(n, dtype=k.dtype)
            whole = (k @ m).trace() + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
            return float(whole - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

        k, m = x @ x.T, y @ y.T
        assert cka(x, y) == pytest.approx(hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m)), abs=1e-9)

    def test_a_space_without_any_spread_is_like_nothing(self, dice):
        assert cka(torch.ones(6, 3), noise(dice, 6, 3)) == 0

    def test_rows_that_cannot_be_pairs_are_refused(self, dice):
        with pytest.raises(InputError, match="not 5 and 6"):
            cka(noise(dice, 5, 3), noise(dice, 6, 3))
        with pytest.raises(InputError, match="at least 4"):
            cka(noise(dice, 3, 3), noise(dice, 3, 3))


def test_alignment_and_uniformity_equal_sums_over_pairs(dice):
    a, b = noise(dice, 9, 4), noise(dice, 9, 4)
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    assert alignment(a, b) == pytest.approx(sum(float((p - q).norm()) ** 2 for p, q in zip(x, y, strict=True)) / 9)
    pairs = [math.exp(-2 * float((p - q).norm()) ** 2) for p, q in combinations(x, 2)]
    assert uniformity(a) == pytest.approx(math.log(sum(pairs) / len(pairs)))
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0)


def test_the_gap_between_two_cones_is_seen(dice):
    offset = F.normalize(noise(dice, 1, 64), dim=1)
    pictures, words = noise(dice, 200, 64) / 8 + 2 * offset, noise(dice, 150, 64) / 8 - 2 * offset
    assert modality_gap(pictures, words) > 1.5
    assert modality_gap(pictures[:100], pictures[100:]) < 0.2


class TestRecall:
    def test_counts_by_hand(self):
        questions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        candidates = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.2, 1.0]])
        right = torch.tensor([[True, False, False], [False, True, True]])
        assert ranks(questions, candidates, right=right).tolist() == [1, 0]
        found = recall(questions, candidates, k=(1, 2), right=right)
        assert found == {"R@1": 0.5, "R@2": 1.0, "median rank": 1.0}

    def test_a_space_that_fell_onto_one_point_finds_nothing(self):
        assert recall(torch.ones(20, 4), torch.ones(20, 4), k=(1, 10)) == {"R@1": 0, "R@10": 0, "median rank": 20}

    def test_a_question_without_an_answer_is_refused(self):
        with pytest.raises(InputError, match="right candidate"):
            ranks(torch.eye(2), torch.eye(2), right=torch.tensor([[True, False], [False, False]]))


class TestCoherence:
    def test_related_streams_stand_out_and_shuffled_ones_do_not(self, dice):
        word = noise(dice, 200, 16)
        sound = word @ noise(dice, 16, 16) / 4 + 3  # in a cone of its own: every cosine of two sounds is high
        picture = word + noise(dice, 200, 16) / 2
        baseline = CoherenceBaseline.measure({"text": word, "audio": sound, "image": picture})

        def z(a: Tensor, b: Tensor) -> Tensor:
            cosines = F.cosine_similarity(a, b, dim=1).tolist()
            return torch.tensor([baseline.z_scores({"notes|view": c}, {"notes": "text", "view": "image"})["notes|view"]
                                 for c in cosines])  # fmt: skip

        assert float(z(word, picture).mean()) > 3
        assert abs(float(z(word, picture.roll(1, 0)).mean())) < 0.2
        assert float(z(word, picture.roll(1, 0)).std()) == pytest.approx(1, abs=0.15)
        assert baseline.mean["audio|audio"] > 0.5
        assert baseline.mean["image|text"] == pytest.approx(0, abs=0.05)

    def test_the_mean_and_spread_are_those_of_all_shuffled_pairs(self, dice):
        moments = {"text": noise(dice, 6, 3), "image": noise(dice, 6, 3)}
        moments["image"][2] = 0  # this moment has no picture
        baseline = CoherenceBaseline.measure(moments)
        cosines = torch.tensor([
            float(F.cosine_similarity(moments["image"][i], moments["text"][j], dim=0))
            for i in range(6) for j in range(6) if i != j and 2 not in (i, j)
        ], dtype=torch.float64)  # fmt: skip
        assert baseline.mean["image|text"] == pytest.approx(float(cosines.mean()), abs=1e-6)
        assert baseline.deviation["image|text"] == pytest.approx(float(cosines.std(correction=0)), abs=1e-6)

    def test_what_was_never_measured_has_no_score(self, dice):
        baseline = CoherenceBaseline.measure({"text": noise(dice, 5, 3), "image": noise(dice, 5, 3)})
        scores = {"audio|text": 0.4, "image|text": 0.4}
        assert list(baseline.z_scores(scores, {})) == ["image|text"]
        assert baseline.coherence({"audio|text": 0.4}, {}) is None
        assert baseline.coherence(scores, {}) == baseline.z_scores(scores, {})["image|text"]

    def test_survives_being_written_down(self, dice):
        baseline = CoherenceBaseline.measure({"text": noise(dice, 5, 3), "image": noise(dice, 5, 3)})
        assert CoherenceBaseline.from_json(baseline.to_json()) == baseline

    def test_too_few_moments_are_refused(self, dice):
        with pytest.raises(InputError, match="three"):
            CoherenceBaseline.measure({"text": noise(dice, 2, 3), "image": noise(dice, 2, 3)})


def test_what_is_not_a_number_is_found_last(dice):
    questions, candidates = (torch.randn(6, 8, generator=dice) for _ in range(2))
    questions[2] = math.nan
    assert ranks(questions, candidates)[2] == 5
    assert recall(torch.full((6, 8), math.nan), candidates, k=(1, 5)) == {"R@1": 0, "R@5": 0, "median rank": 6}
