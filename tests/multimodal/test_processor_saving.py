"""A processor that is saved gives the same bits when it is loaded, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal import IntegrationConfig, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.errors import ConfigError, InputError, ModelMissingError
from multimodal.fusion import save_fusion
from multimodal.integration.strategies import WEIGHTS, module_of
from multimodal.types import ModalityType
from tests.multimodal.fakes import fake_encoders

MOMENT = MultimodalInput(text="tea", image=np.zeros((9, 9, 3), np.uint8), audio=np.zeros(9, np.int16))


def opened(**changes: Any) -> UnifiedMultimodalProcessor:
    processor = UnifiedMultimodalProcessor(
        IntegrationConfig(**{"fusion_method": "early", **changes}), encoders=fake_encoders()
    )
    processor.initialize()
    return processor


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An early fusion that has learned something."""
    module = module_of(IntegrationConfig(fusion_method="early"))
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_fusion(module, tmp_path / WEIGHTS)
    return tmp_path


def vector(processor: UnifiedMultimodalProcessor) -> torch.Tensor:
    return processor.process(MOMENT).unified_representation.representation


@pytest.mark.parametrize("trained", [True, False])
def test_loaded_is_saved_to_the_bit(tmp_path: Path, weights: Path, trained: bool) -> None:
    folder = tmp_path / "model"
    with opened(fusion_weights=str(weights) if trained else None) as first:
        expected, fingerprint = vector(first), first.fingerprint
        first.save_model(folder)
        first.save_model(folder)  # over what is there
    with opened(num_workers=0, batch_size=1) as second:
        plain = vector(second)
        assert torch.equal(plain, expected) is not trained
        second.load_model(folder)
        assert torch.equal(vector(second), expected)
        assert second.fingerprint == fingerprint
        assert second.health()["trained"] is trained


def test_a_saved_processor_serves_as_weights(tmp_path: Path, weights: Path) -> None:
    with opened(fusion_weights=str(weights)) as first:
        first.save_model(tmp_path / "model")
        with opened(fusion_weights=str(tmp_path / "model")) as second:
            assert torch.equal(vector(first), vector(second))


def test_another_make_up_is_refused_with_every_difference(tmp_path: Path) -> None:
    with opened() as first:
        first.save_model(tmp_path / "model")
    with opened(fusion_method="late", shared_embedding_dim=384) as other:
        before = vector(other)
        with pytest.raises(ConfigError, match=r"shared_embedding_dim is 512 there, 384 here.*fusion_method is 'early' there"):
            other.load_model(tmp_path / "model")
        assert torch.equal(vector(other), before)
    encoders = fake_encoders()
    encoders[ModalityType.AUDIO].fingerprint = "fake-audio@2/f32/none/none"
    with (
        UnifiedMultimodalProcessor(IntegrationConfig(fusion_method="early"), encoders=encoders) as other,
        pytest.raises(ConfigError, match=r"model of audio is 'fake-audio@1' there, 'fake-audio@2' here"),
    ):
        other.load_model(tmp_path / "model")


@pytest.mark.parametrize("name", [WEIGHTS, "shown.safetensors", "processor.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_one_is_refused_and_changes_nothing(tmp_path: Path, weights: Path, name: str, how: str) -> None:
    with opened(fusion_weights=str(weights)) as processor:
        folder = tmp_path / "model"
        processor.save_model(folder)
        path = folder / name
        data = bytearray(path.read_bytes())
        if how == "gone":
            path.unlink()
        else:
            data[len(data) // 2] ^= 0x80
            path.write_bytes(bytes(data[: len(data) // 2] if how == "cut" else data))
        before = vector(processor)
        with pytest.raises(InputError, match=r"damaged|no saved processor|no processor of this version"):
            processor.load_model(folder)
        assert torch.equal(vector(processor), before)


def test_a_document_that_says_less_is_refused(tmp_path: Path) -> None:
    with opened() as processor:
        processor.save_model(tmp_path / "model")
        path = tmp_path / "model" / "processor.json"
        document = json.loads(path.read_text())
        del document["config"]["max_image_size"]
        path.write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"damaged.*max_image_size"):
            processor.load_model(tmp_path / "model")
        with pytest.raises(InputError, match="is a file"):
            processor.save_model(path)


def test_trained_weights_move_the_result_and_the_fingerprint(weights: Path) -> None:
    with opened() as plain, opened(fusion_weights=str(weights)) as trained, opened(
        fusion_weights=str(weights / WEIGHTS)
    ) as by_file:
        assert not torch.equal(vector(plain), vector(trained))
        assert torch.equal(vector(trained), vector(by_file))
        assert plain.fingerprint != trained.fingerprint == by_file.fingerprint
        contributions = trained.process(MOMENT).unified_representation.modality_contributions
        assert sum(contributions.values()) == pytest.approx(1)


def test_weights_of_another_strategy_or_none_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"strategy is 'early', expected 'late'"):
        opened(fusion_method="late", fusion_weights=str(weights))
    with pytest.raises(ModelMissingError, match="nowhere"):
        opened(fusion_weights=str(tmp_path / "nowhere"))


def test_heads_that_do_not_fit_are_refused_when_it_opens() -> None:
    with pytest.raises(ConfigError, match="num_attention_heads is 7"):
        opened(fusion_method="adaptive", num_attention_heads=7)
