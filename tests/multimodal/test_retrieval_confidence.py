"""A confidence is worth what it says: of results with .8 eight in ten are right, on questions that were held out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multimodal.errors import ConfigError, InputError
from multimodal.retrieval import (
    SemanticSimilarityRetriever,
    VisionLanguageRetrieval,
    expected_calibration_error,
)
from multimodal.retrieval.confidence import ScoreCalibration, fitted
from multimodal.types import ModalityEmbedding, ModalityType

D, ITEMS = 24, 300


def world(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Questions near items, some nearer than others, one in five near none: (count, D), and the right item or -1."""
    random = np.random.default_rng(seed)
    items = things()
    right = random.integers(ITEMS, size=count)
    noise = 1.6 * random.lognormal(0, 0.5, (count, 1)) * random.standard_normal((count, D)) / math.sqrt(D)
    asked = items[right] + noise
    lost = random.random(count) < 0.2
    asked[lost] = random.standard_normal((int(lost.sum()), D))
    return asked.astype(np.float32), np.where(lost, -1, right)


def things() -> NDArray[np.float64]:
    items = np.random.default_rng(0).standard_normal((ITEMS, D))
    return np.asarray(items / np.linalg.norm(items, axis=1, keepdims=True))


@pytest.fixture
def retriever() -> VisionLanguageRetrieval:
    made = VisionLanguageRetrieval(D, D)
    made.index_many("image", list(range(ITEMS)), things())
    return made


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize(("questions", "allowed"), [(400, 0.05), (40, 0.1)])
def test_confidences_hold_on_questions_that_were_held_out(
    retriever: VisionLanguageRetrieval, questions: int, allowed: float, top_k: int
) -> None:
    asked, right = world(1, questions)
    pairs = [(vector, () if one < 0 else int(one)) for vector, one in zip(asked, right, strict=True)]
    fit = retriever.calibrate(pairs, source_modality="text", target_modality="image")["text>image"]
    assert fit.questions == questions and fit.error < 2 * allowed
    confidence, truth = [], []
    for vector, one in zip(*world(2, 1000), strict=True):
        found = retriever.retrieve_image_from_text(vector, top_k)
        confidence += [result.confidence_score for result in found]
        truth += [result.retrieved_content == one for result in found]
        assert confidence[-len(found) :] == sorted(confidence[-len(found) :], reverse=True)
    sure, hits = np.array(confidence), np.array(truth)
    assert expected_calibration_error(sure, hits) < allowed
    near = (sure > 0.7) & (sure < 0.9)
    assert hits[near].mean() == pytest.approx(0.8, abs=allowed + 0.05)
    assert sure[hits].mean() > sure[~hits].mean() + 0.3  # and they say something


def test_the_confidence_of_a_result_does_not_depend_on_how_many_are_asked_for(retriever: VisionLanguageRetrieval) -> None:
    asked, right = world(1, 60)
    retriever.calibrate([(v, int(r)) for v, r in zip(asked, right, strict=True) if r >= 0], source_modality="text")
    one, five = (retriever.retrieve_image_from_text(asked[0], k) for k in (1, 5))
    assert one[0].confidence_score == five[0].confidence_score


def test_a_direction_that_was_not_calibrated_stays_without_a_number(retriever: VisionLanguageRetrieval) -> None:
    asked, right = world(1, 60)
    pairs = [(v, int(r)) for v, r in zip(asked, right, strict=True) if r >= 0]
    assert list(retriever.calibrate(pairs, source_modality="text")) == ["text>image"]
    key = retriever.index_text("words", asked[0])
    assert math.isnan(retriever.retrieve_text_from_image(asked[0], 1)[0].confidence_score)
    with pytest.raises(InputError, match="5 questions"):
        retriever.calibrate(pairs[:4], source_modality="text")
    with pytest.raises(InputError, match="key 10000"):
        retriever.calibrate([(asked[0], 10_000)] * 6, source_modality="text")
    with pytest.raises(InputError, match="target_modality"):
        retriever.calibrate([(asked[0], ())] * 6, source_modality="text")
    with pytest.raises(InputError, match="pairs"):
        retriever.calibrate([])
    assert key in retriever


def test_words_to_words_of_the_embedded_encoder_come_calibrated() -> None:
    retriever = SemanticSimilarityRetriever(384, calibration="embedded")
    vectors = torch.nn.functional.normalize(torch.randn(5, 384, generator=torch.Generator().manual_seed(0)), dim=1)
    retriever.index_many("text", list("abcde"), vectors)
    found = retriever.retrieve(ModalityEmbedding(ModalityType.TEXT, vectors[0], torch.zeros(1, 384)), top_k=5)
    assert found[0].confidence_score > 0.9 and found[1].confidence_score < 0.1
    retriever.index_many("image", list("fgh"), vectors[:3])
    pictures = retriever.retrieve(ModalityEmbedding(ModalityType.TEXT, vectors[0], vectors), "image")
    assert math.isnan(pictures[0].confidence_score)
    with pytest.raises(ConfigError, match="embedded"):
        SemanticSimilarityRetriever(384, calibration="mine")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"calibrate\(\)"):
        VisionLanguageRetrieval(384, 384, projection=torch.eye(384), calibration="embedded")


def test_a_better_score_never_lowers_a_confidence_even_where_the_sample_says_so() -> None:
    random = np.random.default_rng(0)
    scores = [np.sort(random.random(5))[::-1] for _ in range(50)]
    calibration, _ = fitted(scores, [np.array([False, False, False, False, True])] * 50)
    assert min(calibration.weights) >= 0
    always, fit = fitted(scores, [np.ones(5, bool)] * 50)
    assert 0.9 < always.confidence(scores[0])[0] < 1 and fit.right == 1.0
    never, _ = fitted(scores, [np.zeros(5, bool)] * 50)
    assert 0 < never.confidence(scores[0])[0] < 0.1


def test_what_made_the_answers_right_is_found_again() -> None:
    random = np.random.default_rng(1)
    scores = [np.sort(random.random(4))[::-1] for _ in range(300)]
    right = [random.random(4) < 1 / (1 + np.exp(-(6 * s - 4 + 3 * np.array([s[0] - s[1], 0, 0, 0])))) for s in scores]
    calibration, _ = fitted(scores, right)
    assert calibration.weights[0] == pytest.approx(6, abs=1.5)
    assert calibration.weights[1] == pytest.approx(3, abs=1.5)


def test_the_error_is_the_mean_gap() -> None:
    confidence = np.array([0.05, 0.05, 0.95, 0.95])
    assert expected_calibration_error(confidence, np.array([False, False, True, False])) == pytest.approx(0.25)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0.0
    assert ScoreCalibration((1.0, 0.0, 0.0), 0.0).confidence(np.zeros(0)).shape == (0,)
