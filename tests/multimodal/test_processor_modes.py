"""Modes, threads and lists change the speed of a processor and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multimodal import IntegrationConfig, MultimodalInput, MultimodalOutput, UnifiedMultimodalProcessor
from multimodal.errors import InputError, MultimodalError, NotReadyError
from multimodal.integration.modes import MODES, Modes
from multimodal.types import ModalityType
from tests.multimodal.fakes import FakeEncoder, fake_encoders

Pictures = Callable[[int, int], NDArray[np.uint8]]
Sounds = Callable[[float, int], NDArray[np.int16]]


@pytest.fixture(scope="module")
def shown(pulled: object) -> Iterator[UnifiedMultimodalProcessor]:
    """All defaults, without the cache, so that every mode computes."""
    with UnifiedMultimodalProcessor(IntegrationConfig(cache_size=0, batch_size=4)) as opened:
        yield opened


@pytest.fixture
def moments(picture: Pictures, sound: Sounds) -> list[MultimodalInput]:
    return [
        MultimodalInput(
            text=None if i % 3 == 1 else f"a dog barks {i} times" + " at the postman" * i,
            image=None if i % 4 == 2 else picture(60 + 50 * i, 80),
            audio=None if i % 5 == 3 else sound(0.5 + 0.3 * i, 16_000),
        )
        for i in range(9)
    ]


def same_bits(a: MultimodalOutput, b: MultimodalOutput) -> bool:
    one, other = a.unified_representation, b.unified_representation
    return (
        torch.equal(one.representation, other.representation)
        and one.modality_contributions == other.modality_contributions
        and one.alignment_scores == other.alignment_scores
        and a.modality_specific_outputs.keys() == b.modality_specific_outputs.keys()
        and all(
            torch.equal(entry.embedding, b.modality_specific_outputs[name].embedding)
            for name, entry in a.modality_specific_outputs.items()
        )
        and all(torch.equal(m, b.attention_analysis.weights[name]) for name, m in a.attention_analysis.weights.items())
    )


@pytest.mark.models
def test_three_modes_one_result_to_the_bit(
    shown: UnifiedMultimodalProcessor, moments: list[MultimodalInput]
) -> None:
    alone = [shown.process(moment) for moment in moments]
    for mode in MODES:
        together = shown.process(moments, processing_mode=mode)
        assert all(same_bits(a, b) for a, b in zip(alone, together, strict=True)), mode
        assert same_bits(alone[0], shown.process(moments[0], mode)), mode


@pytest.mark.models
def test_eight_threads_get_what_one_gets(shown: UnifiedMultimodalProcessor, moments: list[MultimodalInput]) -> None:
    alone = [shown.process(moment) for moment in moments]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(moment, MODES[(i + j) % 3]) for j in range(4) for i, moment in enumerate(moments)]
        together = list(pool.map(lambda job: shown.process(*job), jobs))
    assert all(same_bits(alone[i % len(moments)], one) for i, one in enumerate(together))


@pytest.mark.models
def test_defaults_show_the_space_in_512_dimensions_and_keep_every_cosine(
    shown: UnifiedMultimodalProcessor, processor: UnifiedMultimodalProcessor, moments: list[MultimodalInput]
) -> None:
    wide, plain = shown.process(moments[0]), processor.process(moments[0])
    names = sorted(wide.modality_specific_outputs)
    rows = {  # moments are told apart by identity
        output: torch.stack(
            [
                *(output.modality_specific_outputs[name].embedding for name in names),
                output.unified_representation.representation[0],
            ]
        )
        for output in (wide, plain)
    }  # fmt: skip
    assert (rows[wide].shape, rows[plain].shape) == ((4, 512), (4, 384))
    torch.testing.assert_close(rows[wide] @ rows[wide].T, rows[plain] @ rows[plain].T, atol=2e-6, rtol=0)
    assert wide.unified_representation.alignment_scores == plain.unified_representation.alignment_scores
    assert wide.processing_metadata["dimensions"] == {
        "space": 384, "text": 512, "image": 512, "audio": 512, "shared": 512, "exact": True,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["adaptive", "early", "late", "hierarchical", "bilinear"])
def test_untrained_every_fusion_is_the_mean_to_the_bit(method: str) -> None:
    moment = MultimodalInput(text="tea", image=np.zeros((4, 4, 3), np.uint8), audio=np.zeros(9, np.int16))
    with (
        UnifiedMultimodalProcessor(IntegrationConfig.embedded(), encoders=fake_encoders()) as mean,
        UnifiedMultimodalProcessor(IntegrationConfig.embedded(fusion_method=method), encoders=fake_encoders()) as other,
    ):
        assert same_bits(mean.process(moment), other.process(moment))
        assert method in other.fingerprint
        assert other.fingerprint != mean.fingerprint


def test_fewer_dimensions_are_said_to_be_approximate() -> None:
    config = IntegrationConfig(64, 64, 128, 32)
    with UnifiedMultimodalProcessor(config, encoders=fake_encoders()) as processor:
        output = processor.process(MultimodalInput(text="tea", audio=np.zeros(9, np.int16)))
    assert output.unified_representation.representation.shape == (1, 32)
    assert [len(output.modality_specific_outputs[name].embedding) for name in ("text", "audio")] == [64, 128]
    assert float(output.unified_representation.representation.norm()) == pytest.approx(1, abs=1e-5)
    assert output.processing_metadata["dimensions"]["exact"] is False


def test_another_space_is_shown_and_fused_in_its_own_width() -> None:
    with UnifiedMultimodalProcessor(IntegrationConfig(), encoders=fake_encoders(768)) as processor:
        output = processor.process(MultimodalInput(text="tea", audio=np.zeros(9, np.int16)))
    assert output.processing_metadata["dimensions"] | {"exact": None} == {
        "space": 768, "text": 512, "image": 512, "audio": 512, "shared": 512, "exact": None,
    }  # fmt: skip


def fake(**changes: object) -> tuple[UnifiedMultimodalProcessor, dict[ModalityType, FakeEncoder]]:
    encoders = fake_encoders()
    processor = UnifiedMultimodalProcessor(IntegrationConfig(**changes), encoders=encoders)  # type: ignore[arg-type]
    processor.initialize()
    return processor, encoders


def test_batch_size_is_how_many_inputs_go_to_an_encoder_at_once() -> None:
    processor, encoders = fake(batch_size=3)
    with processor:
        processor.process([MultimodalInput(text=str(i)) for i in range(8)], "batch")
        assert encoders[ModalityType.TEXT].calls == [3, 3, 2]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_num_workers_is_how_many_threads_the_parallel_mode_has(workers: int) -> None:
    processor, encoders = fake(num_workers=workers)
    meeting = threading.Barrier(max(workers, 1))
    text = encoders[ModalityType.TEXT]
    plain = text.encode_batch

    def together(items: list[str]) -> object:
        meeting.wait(30)  # as many as there are workers have to be here at the same time, or it breaks
        return plain(items)

    text.encode_batch = together  # type: ignore[assignment,method-assign]
    with processor:
        processor.process([MultimodalInput(text=str(i)) for i in range(6)], "parallel")
    assert len(text.threads) == max(workers, 1)
    assert (threading.get_ident() in text.threads) is (workers == 0)


def test_every_bad_input_of_a_list_is_named_and_none_of_them_is_taken_for_another() -> None:
    processor, _ = fake()
    with processor:
        given = [MultimodalInput(text="a"), MultimodalInput(text="?"), MultimodalInput(), MultimodalInput(text="b")]
        for mode in MODES:
            with pytest.raises(InputError, match=r"input 1: text: no words; input 2: .*at least one"):
                processor.process(given, mode)
        assert processor.process([], "batch") == []
        assert processor.metrics()["counts"]["errors"] == 6
        assert "at least one" in processor.health()["last_error"]


def test_debug_finds_a_number_that_is_not_finite() -> None:
    processor, _ = fake(debug=True)
    with processor, pytest.raises(MultimodalError, match="embedding of text"):
        processor.process(MultimodalInput(text="nan"))
    silent, _ = fake()
    with silent:
        silent.process(MultimodalInput(text="nan", audio=np.zeros(9, np.int16)))


def test_debug_logs_times_and_no_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "multimodal.integration"):
        processor, _ = fake(debug=True)
        with processor:
            processor.process(MultimodalInput(text="secret"))
    assert [record.message for record in caplog.records] == ["moment"]
    assert "secret" not in caplog.text


def test_closed_is_closed() -> None:
    processor, _ = fake(enable_real_time_processing=True)
    assert processor.health()["status"] == "ready"
    processor.close()
    processor.close()
    assert processor.health()["status"] == "closed"
    moment = MultimodalInput(text="tea")
    for call in (
        lambda: processor.process(moment), lambda: processor.process([moment], "parallel"),
        lambda: processor.add_real_time_input(moment), lambda: processor.retrieve_cross_modal("tea", "text", 1),
        lambda: processor.save_model("nowhere"), lambda: processor.fuse([]), lambda: processor.fingerprint,
    ):  # fmt: skip
        with pytest.raises(NotReadyError, match="closed"):
            call()


def test_a_close_that_comes_between_finishes_the_whole_call(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FakeEncoder(ModalityType.TEXT)
    modes = Modes(lambda _, items: encoder.encode_batch(items), workers=2, batch_size=1)
    closing = threading.Thread(target=modes.close)
    submit = ThreadPoolExecutor.submit

    def submitted(pool: ThreadPoolExecutor, *given: object) -> object:
        future: object = submit(pool, *given)  # type: ignore[arg-type]
        if closing.ident is None:
            closing.start()
            closing.join(0.2)
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submitted)
    assert len(modes([{ModalityType.TEXT: str(n)} for n in range(3)], "parallel")) == 3
    closing.join(30)
    with pytest.raises(NotReadyError):
        modes([{ModalityType.TEXT: "late"}], "parallel")
