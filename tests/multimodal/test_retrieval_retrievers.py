"""Retrievers give back what was put in, best first, by any modality, filtered, deleted, saved, from several threads."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings import CrossModalProjection
from multimodal.errors import ConfigError, InputError
from multimodal.retrieval import (
    AudioVisualRetrieval,
    SemanticSimilarityRetriever,
    VisionLanguageRetrieval,
    create_retriever,
)
from multimodal.types import ModalityEmbedding, ModalityType

D = 16
TEXT, IMAGE, AUDIO = ModalityType.TEXT, ModalityType.IMAGE, ModalityType.AUDIO


def directions(count: int, size: int = D, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(seed)), dim=1)


def embedding(modality: ModalityType, vector: Tensor) -> ModalityEmbedding:
    return ModalityEmbedding(modality, vector, torch.zeros(1, len(vector)))


@pytest.fixture
def filled() -> VisionLanguageRetrieval:
    retriever = VisionLanguageRetrieval(D, D)
    for number, vector in enumerate(directions(20)):
        retriever.index_text(f"text {number}", vector, {"number": number}, timestamp=number)
        retriever.index_image(f"picture {number}", vector, timestamp=100 + number)
    return retriever


def test_the_best_come_first_with_cosines_and_all_that_was_given(filled: VisionLanguageRetrieval) -> None:
    question = directions(1, seed=5)[0]
    cosines = directions(20) @ question
    found = filled.retrieve_image_from_text(question, top_k=20)
    assert [one.retrieved_content for one in found] == [f"picture {n}" for n in cosines.argsort(descending=True).tolist()]
    scores = cosines.sort(descending=True).values
    torch.testing.assert_close(torch.tensor([one.similarity_score for one in found]), scores, atol=1e-3, rtol=0)
    assert all(math.isnan(one.confidence_score) and one.modality == "image" for one in found)
    assert filled.retrieve_text_from_image(directions(20)[4], 1)[0].metadata == {"number": 4}
    assert len(filled.retrieve_image_from_text(question, 100)) == 20
    assert len(filled) == 40


@pytest.mark.parametrize("make", [
    lambda v: v.bfloat16(), lambda v: v.half(), lambda v: v.double(), lambda v: v[None], lambda v: v.numpy(),
    lambda v: v.numpy().astype(np.float16), lambda v: 50 * v, lambda v: v.clone().requires_grad_(), lambda v: v.tolist(),
])  # fmt: skip
def test_any_kind_of_vector_is_the_same_question(filled: VisionLanguageRetrieval, make) -> None:
    found = filled.retrieve_image_from_text(make(directions(20)[7]), top_k=1)
    assert found[0].retrieved_content == "picture 7"
    key = filled.index_image("anew", make(-directions(20)[7]))
    assert filled.retrieve_image_from_text(-directions(20)[7], 1)[0].key == key


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
def test_vectors_on_a_gpu_are_indexed_and_asked(filled: VisionLanguageRetrieval) -> None:
    vector = directions(1, seed=3)[0].cuda()
    key = filled.index_image("on the GPU", vector)
    assert filled.retrieve_image_from_text(vector, 1)[0].key == key
    projected = VisionLanguageRetrieval(D, 8, projection=CrossModalProjection(D, 8).cuda())
    projected.index_image("a", vector)
    assert projected.retrieve_image_from_text(torch.ones(8, device="cuda"), 1)[0].retrieved_content == "a"


def test_one_method_asks_by_any_for_any(filled: VisionLanguageRetrieval) -> None:
    vector = directions(20)[9]
    for source in (TEXT, IMAGE):
        for target, content in ((TEXT, "text 9"), ("image", "picture 9")):
            found = filled.retrieve(query=embedding(source, vector), target_modality=target, top_k=3)
            assert found[0].retrieved_content == content
    with pytest.raises(InputError, match="audio"):
        filled.retrieve(embedding(AUDIO, vector), TEXT)
    with pytest.raises(InputError, match="text, image"):
        filled.retrieve(embedding(TEXT, vector), "smell")


def test_sounds_and_pictures() -> None:
    retriever = AudioVisualRetrieval(audio_dim=D, vision_dim=D)
    for number, vector in enumerate(directions(5)):
        retriever.index_audio(f"sound {number}", vector)
        retriever.index_image(f"picture {number}", vector)
    assert retriever.retrieve_image_from_audio(directions(5)[1], top_k=1)[0].retrieved_content == "picture 1"
    assert retriever.retrieve_audio_from_image(directions(5)[2], top_k=1)[0].retrieved_content == "sound 2"
    found = retriever.retrieve(query=embedding(AUDIO, directions(5)[3]), target_modality=IMAGE, top_k=1)
    assert found[0].retrieved_content == "picture 3"


def test_a_time_filter_keeps_to_its_half_open_interval(filled: VisionLanguageRetrieval) -> None:
    filled.index_text("without an instant", directions(20)[6])
    found = filled.retrieve_text_from_image(directions(20)[6], 50, between=(5, 8))
    assert {one.timestamp for one in found} == {5, 6, 7}
    assert found[0].retrieved_content == "text 6"
    for between in ((8, 5), (5, 5), (-(2**63), 5)):
        with pytest.raises(InputError, match="between"):
            filled.retrieve_text_from_image(directions(20)[6], 5, between=between)


def test_what_is_deleted_is_gone(filled: VisionLanguageRetrieval) -> None:
    best = filled.retrieve_image_from_text(directions(20)[3], 1)[0]
    assert best.key in filled
    assert filled.delete(best.key) and not filled.delete(best.key)
    assert best.key not in filled
    assert filled.retrieve_image_from_text(directions(20)[3], 1)[0].retrieved_content != "picture 3"
    assert filled.retrieve_text_from_image(directions(20)[3], 1)[0].retrieved_content == "text 3"


def test_many_at_once_are_as_many_one_by_one(filled: VisionLanguageRetrieval) -> None:
    retriever = VisionLanguageRetrieval(D, D)
    keys = retriever.index_many("text", [f"text {n}" for n in range(20)], directions(20), timestamps=list(range(20)))
    retriever.build()
    question = directions(1, seed=9)[0]
    assert [(one.retrieved_content, one.similarity_score) for one in retriever.retrieve_text_from_image(question, 20)] == [
        (one.retrieved_content, one.similarity_score) for one in filled.retrieve_text_from_image(question, 20)
    ]
    assert len(set(keys)) == 20
    with pytest.raises(InputError, match="2 contents, 3 embeddings"):
        retriever.index_many(TEXT, ["a", "b"], directions(3))
    bad = directions(3).clone()
    bad[2] = math.nan
    with pytest.raises(InputError, match="not finite"):
        retriever.index_many(TEXT, ["a", "b", "c"], bad)
    assert len(retriever) == 20


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (torch.ones(D + 1), "shape"),
        (torch.ones(2, D), "shape"),
        (torch.zeros(D), "zeros"),
        (torch.full((D,), math.inf), "finite"),
    ],
)
def test_a_vector_that_cannot_be_compared_is_refused(filled: VisionLanguageRetrieval, vector: Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said):
        filled.index_text("x", vector)
    with pytest.raises(InputError, match=said):
        filled.retrieve_image_from_text(vector, 1)
    assert len(filled) == 40


def test_what_could_not_be_read_says_why(filled: VisionLanguageRetrieval) -> None:
    unread = ModalityEmbedding(IMAGE, torch.zeros(D), torch.zeros(0, D), {"error": "no picture"})
    with pytest.raises(InputError, match="no picture"):
        filled.index_image("x", unread)


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True])
def test_a_wrong_top_k_is_refused(filled: VisionLanguageRetrieval, top_k: object) -> None:
    with pytest.raises(InputError, match="top_k"):
        filled.retrieve_image_from_text(directions(1)[0], top_k)  # type: ignore[arg-type]


class TestTwoSpaces:
    def test_without_a_projection_the_error_says_what_to_do(self) -> None:
        retriever = VisionLanguageRetrieval(vision_dim=D, language_dim=8)
        retriever.index_image("a", directions(1)[0])
        retriever.index_text("b", directions(1, 8)[0])
        assert retriever.retrieve(embedding(IMAGE, directions(1)[0]), IMAGE)[0].retrieved_content == "a"
        with pytest.raises(InputError, match=r"CrossModalProjection.*semi-orthogonal"):
            retriever.retrieve_image_from_text(directions(1, 8)[0], 1)

    def test_a_matrix_turns_one_space_into_the_other_both_ways(self) -> None:
        matrix = torch.linalg.qr(torch.randn(D, 8, generator=torch.Generator().manual_seed(1)))[0].T  # (8, D)
        words = directions(10, 8)
        retriever = VisionLanguageRetrieval(D, 8, projection=matrix)
        for number, vector in enumerate(words):
            retriever.index_text(number, vector)
            retriever.index_image(number, matrix.T @ vector)
        for number, vector in enumerate(words):
            best = retriever.retrieve_image_from_text(vector, 1)[0]
            assert best.retrieved_content == number and best.similarity_score == pytest.approx(1, abs=2e-3)
            assert retriever.retrieve_text_from_image(matrix.T @ vector, 1)[0].retrieved_content == number
        with pytest.raises(ConfigError, match="orthonormal"):
            VisionLanguageRetrieval(D, 8, projection=2 * matrix)
        with pytest.raises(ConfigError, match=r"\(8, 16\)"):
            VisionLanguageRetrieval(D, 8, projection=matrix.T)

    def test_a_fitted_projection_finds_pairs_that_it_has_not_seen(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        true = torch.linalg.qr(torch.randn(D, 8))[0]  # (D, 8)
        words = torch.randn(200, 8) + 0.5
        pictures = words @ true.T + 0.05 * torch.randn(200, D) + 1.0
        projection = CrossModalProjection(D, 8, hidden_dim=8)
        projection.fit(pictures[:150], words[:150], epochs=2)
        retriever = VisionLanguageRetrieval(D, 8, projection=projection)
        for number in range(150, 200):
            retriever.index_text(number, words[number])
            retriever.index_image(number, pictures[number])
        hits = [retriever.retrieve_image_from_text(words[n], 1)[0].retrieved_content == n for n in range(150, 200)]
        back = [retriever.retrieve_text_from_image(pictures[n], 1)[0].retrieved_content == n for n in range(150, 200)]
        asked = [embedding(IMAGE, pictures[n]) for n in range(150, 200)]
        same = [retriever.retrieve(one, IMAGE, 1)[0].retrieved_content == n for n, one in enumerate(asked, 150)]
        assert np.mean(hits) > 0.9 and np.mean(back) > 0.9 and all(same)
        retriever.save(tmp_path / "saved")
        again = VisionLanguageRetrieval.load(tmp_path / "saved")
        assert answers(again, words[160]) == answers(retriever, words[160])
        with pytest.raises(ConfigError, match=r"CrossModalProjection\(16, 9\)"):
            VisionLanguageRetrieval(D, 9, projection=projection)


def answers(retriever: VisionLanguageRetrieval, question: Tensor) -> list[tuple]:
    found = retriever.retrieve_image_from_text(question, 10)
    return [(one.retrieved_content, one.similarity_score, one.confidence_score, one.key, one.timestamp) for one in found]


def test_saved_and_loaded_it_answers_alike_and_goes_on(filled: VisionLanguageRetrieval, tmp_path: Path) -> None:
    filled.calibrate([(vector, {2 * n + 1}) for n, vector in enumerate(directions(20))], source_modality=TEXT)
    filled.delete(8)
    filled.index_image(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), directions(1, seed=4)[0], {"tensor": torch.ones(2)})
    filled.save(str(tmp_path / "saved"))
    again = VisionLanguageRetrieval.load(tmp_path / "saved")
    for seed in range(5):
        question = directions(1, seed=10 + seed)[0]
        kept = [row[1:] for row in answers(filled, question)]
        assert [row[1:] for row in answers(again, question)] == kept and not math.isnan(kept[0][1])
    best = again.retrieve_image_from_text(directions(1, seed=4)[0], 1)[0]
    assert best.retrieved_content.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert torch.equal(best.metadata["tensor"], torch.ones(2))
    assert again.index_text("new", directions(1)[0]) == filled.index_text("new", directions(1)[0])
    with pytest.raises(InputError, match="vision_language, not a audio_visual"):
        AudioVisualRetrieval.load(tmp_path / "saved")


def test_several_threads_may_use_one(filled: VisionLanguageRetrieval) -> None:
    pool = directions(400, seed=2)

    def work(number: int) -> bool:
        key = filled.index_image(number, pool[number])
        found = filled.retrieve_image_from_text(pool[number], 1)[0]
        if number % 2:
            filled.delete(key)
        return found.retrieved_content == number

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(400)))
    assert len(filled) == 40 + 200


def test_made_by_name() -> None:
    assert isinstance(create_retriever("vision_language", vision_dim=D, language_dim=D), VisionLanguageRetrieval)
    with pytest.raises(ConfigError, match="semantic, vision_language, audio_visual"):
        create_retriever("psychic")
    with pytest.raises(ConfigError, match="audio_dim"):
        create_retriever("vision_language", audio_dim=3)
    for wrong in (0, "8", 1.5):
        with pytest.raises(ConfigError):
            create_retriever("vision_language", vision_dim=wrong)
        with pytest.raises(ConfigError):
            create_retriever("semantic", embedding_dim=wrong)


class TestSemantic:
    def test_one_index_answers_across_modalities(self) -> None:
        retriever = SemanticSimilarityRetriever(D)
        for modality, vector in zip((TEXT, IMAGE, AUDIO), directions(3), strict=True):
            retriever.index(f"a {modality}", embedding(modality, vector))
        retriever.index("bare", directions(4)[3], {"x": 1}, modality="audio", timestamp=4)
        found = retriever.retrieve(directions(3)[1], top_k=3)
        assert found[0].retrieved_content == "a image" and len(found) == 3
        assert found[0].modality == "image"
        assert [one.modality for one in retriever.retrieve(directions(3)[1], "audio")] == [AUDIO, AUDIO]
        assert retriever.retrieve(embedding(TEXT, directions(4)[3]), between=(4, 5))[0].metadata == {"x": 1}
        with pytest.raises(InputError, match="modality="):
            retriever.index("bare", directions(1)[0])

    def test_it_learns_which_directions_matter_and_proves_it_on_others(self, tmp_path: Path) -> None:
        """Half of the directions are noise that no answer shares with its question."""
        torch.manual_seed(0)
        meaning = torch.randn(300, D // 2)
        questions = torch.cat((meaning + 0.3 * torch.randn(300, D // 2), 2 * torch.randn(300, D // 2)), 1)
        answers = torch.cat((meaning, 2 * torch.randn(300, D // 2)), 1)
        retriever = SemanticSimilarityRetriever(D)
        retriever.index_many(IMAGE, list(range(200, 300)), answers[200:])

        def right() -> float:
            first = [retriever.retrieve(one, top_k=1)[0].retrieved_content for one in questions[200:]]
            return float(np.mean([content == n for n, content in enumerate(first, 200)]))

        before = right()
        fit = retriever.learn(questions[:200], answers[:200])
        assert fit.kept and fit.rank_after > fit.rank_before
        assert right() > before + 0.2
        retriever.save(tmp_path / "saved")
        again = SemanticSimilarityRetriever.load(tmp_path / "saved")
        assert [r.similarity_score for r in again.retrieve(questions[0])] == [
            r.similarity_score for r in retriever.retrieve(questions[0])
        ]

    def test_what_does_not_help_is_not_kept(self) -> None:
        retriever = SemanticSimilarityRetriever(D)
        retriever.index_many(TEXT, list(range(20)), directions(20))
        before = [one.similarity_score for one in retriever.retrieve(directions(1, seed=3)[0], top_k=20)]
        fit = retriever.learn(directions(60, seed=1), directions(60, seed=2))  # nothing belongs together
        assert not fit.kept
        assert [one.similarity_score for one in retriever.retrieve(directions(1, seed=3)[0], top_k=20)] == before
        with pytest.raises(InputError, match="20 pairs"):
            retriever.learn(directions(5), directions(5))

    def test_its_rank_is_a_whole_number_and_no_more_than_the_space_has(self) -> None:
        for wrong in (-1, 2.5):
            with pytest.raises(ConfigError, match="rank"):
                SemanticSimilarityRetriever(D, rank=wrong)  # type: ignore[arg-type]
        assert SemanticSimilarityRetriever(4, rank=100).similarity.up.shape == (4, 4)

    def test_untrained_it_is_the_cosine(self) -> None:
        retriever = SemanticSimilarityRetriever(D)
        vectors, question = directions(30), directions(1, seed=8)[0]
        retriever.index_many(AUDIO, list(range(30)), vectors)
        found = retriever.retrieve(question, top_k=30)
        assert [one.retrieved_content for one in found] == (vectors @ question).argsort(descending=True).tolist()


@pytest.mark.parametrize("between", [(None, 5), (1,), "ab", (5, 1), (1.5, 2)])
def test_a_time_that_is_none_is_refused_in_words(filled, between):
    with pytest.raises(InputError, match="start before end"):
        filled.retrieve_text_from_image(directions(20)[6], 1, between=between)
