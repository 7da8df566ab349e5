"""The library's front door, used as a notebook uses it and as the daemon uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multimodal import IntegrationConfig, ModalityType, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.errors import ConfigError, InputError, NotReadyError

Pictures = Callable[[int, int], NDArray[np.uint8]]
Sounds = Callable[[float, int], NDArray[np.int16]]


@pytest.mark.models
def test_one_moment_comes_out_whole(processor: UnifiedMultimodalProcessor, picture: Pictures, sound: Sounds) -> None:
    moment = MultimodalInput(text="a dog barks", image=picture(240, 320), audio=sound(1, 44_100), sample_rate=44_100)
    output = processor.process(moment)
    unified = output.unified_representation
    assert unified.representation.shape == (1, 384)
    assert float(unified.representation.norm()) == pytest.approx(1, abs=1e-5)
    assert sum(unified.modality_contributions.values()) == pytest.approx(1)
    assert unified.alignment_scores.keys() == {"audio|image", "audio|text", "image|text"}
    assert -1 <= unified.semantic_consistency <= 1
    assert output.modality_specific_outputs.keys() == output.confidence_scores.keys() == {"text", "image", "audio"}
    attention = output.attention_analysis
    assert attention.weights.keys() == {"audio->image", "text->image"}
    assert attention.source_labels == ("audio", "text")
    assert all(0 <= value <= 1 for value in attention.entropy.values())
    assert output.alignment_results.quality["image|text"] <= output.modality_specific_outputs["text"].quality_score
    assert output.processing_metadata["fingerprint"] == processor.fingerprint


@pytest.mark.models
def test_the_notebook_and_the_daemon_get_the_same_numbers(
    processor: UnifiedMultimodalProcessor, picture: Pictures, sound: Sounds
) -> None:
    pixels, samples = picture(100, 100), sound(2, 16_000)
    notebook = processor.process(MultimodalInput(text="tea", image=pixels, audio=samples))
    (text,) = processor.encode("text", ["tea"])
    images = processor.encode(ModalityType.IMAGE, [picture(64, 64), pixels])
    (audio,) = processor.encode("audio", [(samples, 16_000)])
    (fused,) = processor.fuse([{"text": [text], "image": images[1:], "audio": [audio]}])
    assert torch.equal(notebook.unified_representation.representation[0], torch.from_numpy(fused.vector))


@pytest.mark.models
def test_a_single_modality_is_a_moment(processor: UnifiedMultimodalProcessor) -> None:
    output = processor.process(MultimodalInput(text="tea is ready"))
    assert output.unified_representation.modality_contributions == {"text": 1.0}
    assert output.unified_representation.alignment_scores == {}
    assert output.unified_representation.semantic_consistency == pytest.approx(1)


@pytest.mark.models
def test_wrong_input_and_modes_are_refused_by_name(processor: UnifiedMultimodalProcessor) -> None:
    with pytest.raises(InputError, match="at least one"):
        processor.process(MultimodalInput())
    with pytest.raises(InputError, match=r"audio: .*NaN"):
        processor.process(MultimodalInput(text="tea", audio=np.array([np.nan])))
    with pytest.raises(ConfigError, match=r"'quickly'.*'parallel'"):
        processor.process(MultimodalInput(text="tea"), processing_mode="quickly")
    with pytest.raises(InputError, match="MultimodalInput"):
        processor.process("tea")  # type: ignore[call-overload]
    with pytest.raises(InputError, match="list"):
        processor.encode("text", "tea")
    with pytest.raises(InputError, match="smell"):
        processor.encode("smell", [])


@pytest.mark.models
def test_threads_share_a_processor(processor: UnifiedMultimodalProcessor, picture: Pictures) -> None:
    pictures = [picture(50 + i, 60) for i in range(12)]
    alone = [processor.encode("image", [pixels])[0].embedding for pixels in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pixels: processor.encode("image", [pixels])[0].embedding, pictures))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.models
def test_it_opens_once_closes_and_says_so(pulled: object) -> None:
    processor = UnifiedMultimodalProcessor()
    with pytest.raises(NotReadyError, match="initialize"):
        processor.encode("text", ["tea"])
    with processor as opened:
        opened.initialize()
        assert opened.encode("text", ["tea"])[0].error is None
    with pytest.raises(NotReadyError, match="closed"):
        processor.encode("text", ["tea"])
    with pytest.raises(NotReadyError, match="closed"):
        processor.initialize()


@pytest.mark.models
def test_a_fingerprint_changes_with_what_changes_the_numbers(
    pulled: object, processor: UnifiedMultimodalProcessor
) -> None:
    with (
        UnifiedMultimodalProcessor() as twin,
        UnifiedMultimodalProcessor(IntegrationConfig.embedded(max_audio_duration=1.0)) as shorter,
    ):
        assert twin.fingerprint == processor.fingerprint
        assert shorter.fingerprint != processor.fingerprint
    assert "mean" in processor.fingerprint
    assert "openvino" in processor.fingerprint


@pytest.mark.models
def test_options_are_obeyed(pulled: object, sound: Sounds) -> None:
    with UnifiedMultimodalProcessor(
        IntegrationConfig.embedded(max_audio_duration=1.0, max_sequence_length=8, batch_size=2)
    ) as processor:
        assert len(processor.encode("audio", [(sound(3, 8_000), 8_000)])[0].features) == 1
        assert len(processor.encode("text", ["one two three four five six seven eight nine ten"])[0].features) == 8


@pytest.mark.models
def test_a_question_in_words_knows_the_nearest_classes(processor: UnifiedMultimodalProcessor) -> None:
    (question,) = processor.encode("text", ["violin"])
    for modality in ("image", "audio"):
        nearest = processor.vocabulary(modality).nearest(question.embedding, 3)
        assert "violin" in nearest[0][0].lower()
        assert [score for _, score in nearest] == sorted((score for _, score in nearest), reverse=True)
    with pytest.raises(InputError):
        processor.vocabulary("text")


def test_importing_it_costs_little_beyond_torch_and_loads_no_runtime() -> None:
    script = (
        "import time, sys, torch\n"
        "started = time.process_time()\n"
        "import multimodal\n"
        "took = time.process_time() - started\n"
        "loaded = {'openvino', 'cv2', 'soxr', 'tokenizers', 'transformers', 'asyncio.runners'} & set(sys.modules)\n"
        "print(took, *(loaded - {'asyncio.runners'}))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert float(out[0]) < 0.3
    assert out[1:] == []
