"""Every switch of the configuration does what it says, with the real models where it is about them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multimodal import IntegrationConfig, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.embeddings import TextModalityEncoder
from multimodal.embeddings.measures import CoherenceBaseline
from multimodal.embeddings.runtime import low_precision
from multimodal.errors import ConfigError, InputError
from multimodal.integration import AudioVisualIntegration, VisionLanguageIntegration
from multimodal.integration.limits import shrunk
from multimodal.types import ModalityType
from tests.multimodal.fakes import fake_encoders

Pictures = Callable[[int, int], NDArray[np.uint8]]
Sounds = Callable[[float, int], NDArray[np.int16]]

SEEN = MultimodalInput(text="tea", image=np.zeros((9, 9, 3), np.uint8))


def fake(**changes: object) -> UnifiedMultimodalProcessor:
    processor = UnifiedMultimodalProcessor(IntegrationConfig(**changes), encoders=fake_encoders())  # type: ignore[arg-type]
    processor.initialize()
    return processor


@pytest.mark.models
def test_texts_are_read_up_to_the_limit_and_the_model_reads_256_at_most(processor: UnifiedMultimodalProcessor) -> None:
    long, short = "tea " * 600, "tea"
    with UnifiedMultimodalProcessor(IntegrationConfig(max_sequence_length=16)) as limited:
        entry = limited.process(MultimodalInput(text=long)).modality_specific_outputs["text"]
        assert (len(entry.features), entry.metadata["truncated"]) == (16, True)
        assert limited.process(MultimodalInput(text=short)).modality_specific_outputs["text"].metadata["truncated"] is False
    with UnifiedMultimodalProcessor(IntegrationConfig(max_sequence_length=512)) as widest:
        entry = widest.process(MultimodalInput(text=long)).modality_specific_outputs["text"]
        assert (len(entry.features), entry.metadata["truncated"]) == (256, True)


@pytest.mark.models
def test_a_text_is_no_list_of_letters() -> None:
    with pytest.raises(InputError, match="list"):
        TextModalityEncoder(device="cpu").encode_batch("hello")


@pytest.mark.models
def test_pictures_are_read_at_the_limit_and_no_larger_than_the_encoder_reads(
    processor: UnifiedMultimodalProcessor, picture: Pictures
) -> None:
    large = picture(600, 900)
    small = shrunk(large, (64, 64))
    assert small.shape == (64, 64, 3)
    [plain, coarse] = (processor.encode("image", [one])[0].embedding for one in (large, small))
    with UnifiedMultimodalProcessor(IntegrationConfig.embedded(max_image_size=(64, 64))) as limited:
        assert torch.equal(limited.encode("image", [large])[0].embedding, coarse)
        assert limited.fingerprint != processor.fingerprint
        assert limited.encode("image", ["no picture"])[0].error
        assert limited.vocabulary("image").names
    with UnifiedMultimodalProcessor(IntegrationConfig.embedded(max_image_size=(2000, 2000))) as unlimited:
        assert torch.equal(unlimited.encode("image", [large])[0].embedding, plain)
        assert unlimited.fingerprint == processor.fingerprint


@pytest.mark.models
def test_mixed_precision_is_the_devices_or_says_that_it_changes_nothing(picture: Pictures) -> None:
    given = MultimodalInput(text="tea", image=picture(64, 64))
    with (
        UnifiedMultimodalProcessor(IntegrationConfig(device="cpu", mixed_precision=True)) as mixed,
        UnifiedMultimodalProcessor(IntegrationConfig(device="cpu")) as full,
    ):
        a, b = (one.process(given).unified_representation.representation for one in (mixed, full))
        assert full.health()["precision"] == "float32"
        assert "/f32/" in full.fingerprint
        if low_precision("cpu") is None:
            assert "changes nothing" in mixed.health()["precision"]
            assert torch.equal(a, b)
            assert mixed.fingerprint == full.fingerprint
        else:
            assert mixed.health()["precision"] == "bf16"
            assert not torch.equal(a, b)
            assert float((a * b).sum()) > 0.99
            assert mixed.fingerprint != full.fingerprint


@pytest.mark.models
def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    with pytest.raises(ConfigError, match="cuda"):
        UnifiedMultimodalProcessor(IntegrationConfig(device="cuda")).initialize()


def test_real_time_inputs_are_refused_where_they_are_switched_off() -> None:
    with fake() as processor, pytest.raises(ConfigError, match="enable_real_time_processing"):
        processor.add_real_time_input(SEEN)


def test_real_time_results_are_those_of_process_in_order() -> None:
    with fake(enable_real_time_processing=True, queue_size=8) as processor:
        moments = [MultimodalInput(text=text) for text in ("a", "?", "b")]
        assert [processor.add_real_time_input(one) for one in moments] == [0, 1, 2]
        found = list(processor.real_time_results())
        assert [one.sequence for one in found] == [0, 1, 2]
        assert isinstance(found[1].error, InputError)
        for number in (0, 2):
            output = found[number].output
            assert output is not None
            alone = processor.process(moments[number])
            assert torch.equal(output.unified_representation.representation, alone.unified_representation.representation)
        with pytest.raises(InputError, match="at least one"):
            processor.add_real_time_input(MultimodalInput())
        assert processor.metrics()["real_time"]["failed"] == 1


def test_an_encoder_that_breaks_takes_its_own_input_only() -> None:
    with fake(enable_real_time_processing=True) as processor:
        for text in ("a", "bomb", "b"):
            processor.add_real_time_input(MultimodalInput(text=text))
        assert [type(one.error) for one in processor.real_time_results()] == [type(None), RuntimeError, type(None)]


def test_attention_is_kept_and_drawn_where_it_is_switched_on(tmp_path: Path) -> None:
    with fake(use_attention_visualization=True) as processor:
        with pytest.raises(InputError, match="no moment"):
            processor.visualize_attention(output_dir=tmp_path)
        processor.process(SEEN)
        drawn = processor.visualize_attention(output_dir=tmp_path, title="Tea")
    assert len(drawn) == 3
    assert all(one.path.stat().st_size > 1000 and one.path.parent == tmp_path for one in drawn)


def test_the_attention_of_the_last_moment_alone_is_kept() -> None:
    with fake(use_attention_visualization=True) as processor:
        outputs = (processor.process(SEEN) for _ in range(3))
        maps = [weakref.ref(next(iter(output.attention_analysis.weights.values()))) for output in outputs]
        gc.collect()
        assert [one() is not None for one in maps] == [False, False, True]


def test_attention_of_a_given_moment_is_drawn_in_any_case(tmp_path: Path) -> None:
    with fake() as processor:
        output = processor.process(SEEN)
        assert len(processor.visualize_attention(output, output_dir=tmp_path)) == 2
        assert len(processor.visualize_attention(output, SEEN.image, output_dir=tmp_path)) == 3
        with pytest.raises(ConfigError, match="use_attention_visualization"):
            processor.visualize_attention(output_dir=tmp_path)
        with pytest.raises(InputError, match="no attention"):
            processor.visualize_attention(processor.process(MultimodalInput(text="a")), output_dir=tmp_path)


def test_z_scores_come_from_a_baseline_and_are_empty_without() -> None:
    baseline = CoherenceBaseline({"image|text": 0.1}, {"image|text": 0.05}, 100)
    config = IntegrationConfig()
    with UnifiedMultimodalProcessor(config, baseline=baseline, encoders=fake_encoders()) as processor:
        found = processor.process(SEEN).alignment_results
    assert found.z_scores == {"image|text": pytest.approx((found.scores["image|text"] - 0.1) / 0.05)}
    with fake() as processor:
        assert processor.process(SEEN).alignment_results.z_scores == {}


def test_pairs_give_what_process_gives_and_need_both() -> None:
    with fake() as processor:
        words = VisionLanguageIntegration(processor=processor).process_vision_language("tea", SEEN.image)
        expected = processor.process(SEEN)
        assert torch.equal(words["fused_representation"], expected.unified_representation.representation)
        assert words["attention_weights"]["text->image"].shape == (2, 2)
        assert set(words["modality_features"]) == {"text", "image"}
        sounds = AudioVisualIntegration(processor=processor)
        with sounds:
            heard = sounds.process_audio_visual(np.zeros(9, np.int16), SEEN.image, sample_rate=8_000)
        assert set(heard["attention_weights"]) == {"audio->image"}
        with pytest.raises(InputError, match="audio_input not given"):
            sounds.process_audio_visual(None, SEEN.image)
        assert processor.health()["status"] == "ready", "a pair does not close what is not its own"


def test_models_of_others_are_opened_through_the_one_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    from multimodal.integration import models

    asked = []

    def opening(choice: object) -> object:
        asked.append(choice)
        return fake_encoders(16)

    monkeypatch.setattr(models, "open_encoders", opening)
    config = IntegrationConfig(text_model="org/words", image_model="./clip", local_files_only=True, max_sequence_length=40)
    with UnifiedMultimodalProcessor(config) as processor:
        assert processor.process(SEEN).unified_representation.representation.shape == (1, 512)
        assert processor.retrieve_cross_modal("tea", ModalityType.IMAGE, 1)
    [choice] = asked
    assert (choice.text, choice.image, choice.audio) == ("org/words", "./clip", "embedded")
    assert (choice.local_files_only, choice.max_tokens, choice.max_duration) == (True, 40, 30.0)
