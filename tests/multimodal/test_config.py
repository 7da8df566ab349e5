"""A wrong option is told by its name, before anything is opened."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from multimodal import IntegrationConfig
from multimodal.errors import ConfigError
from multimodal.fusion import AdaptiveFusion, HierarchicalFusion
from multimodal.integration.strategies import module_of

WRONG: list[tuple[str, Any]] = [
    ("text_embedding_dim", 0), ("shared_embedding_dim", 384.0), ("batch_size", True), ("batch_size", -1),
    ("max_sequence_length", "512"), ("max_image_size", (224, 0)), ("max_image_size", 224), ("max_audio_duration", 0.0),
    ("max_audio_duration", 1e305), ("max_audio_duration", float("nan")),
    ("num_attention_heads", 0), ("attention_dropout", 1.0), ("fusion_dropout", -0.1),
    ("fusion_method", "sum"), ("device", "tpu"), ("mixed_precision", 1), ("num_workers", -1), ("debug", "yes"),
    ("cache_size", -1), ("gradient_checkpointing", None), ("index_size", 1.5), ("memory_budget", -1), ("queue_size", 0),
    ("queue_overflow", "wait"), ("text_model", ""), ("image_model", None), ("local_files_only", 0), ("fusion_weights", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_every_wrong_value_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is .*expected"):
        IntegrationConfig(**{name: value})


def test_no_option_is_left_unchecked() -> None:
    refused = {name for name, _ in WRONG}
    assert {field.name for field in fields(IntegrationConfig)} - refused == {
        "image_embedding_dim", "audio_embedding_dim", "enable_real_time_processing", "use_attention_visualization",
        "audio_model",
    }, "these have a neighbour of their own kind in the list; another one is missing there"  # fmt: skip


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        IntegrationConfig(batch_size=0, device="tpu", fusion_method="sum")  # type: ignore[arg-type]
    assert all(name in str(refused.value) for name in ("batch_size", "device", "'auto', 'cpu', 'cuda'", "'bilinear'"))


def test_the_promised_order_holds_for_positions() -> None:
    config = IntegrationConfig(1, 2, 3, 4, 5, 6, (7, 8), 9.0, 10, 0.11, "late", 0.12, "cpu", True, 13, True, True, True)
    assert (config.shared_embedding_dim, config.max_image_size, config.fusion_method) == (4, (7, 8), "late")
    assert (config.num_workers, config.debug, config.cache_size) == (13, True, IntegrationConfig().cache_size)


def test_weights_for_the_mean_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="fusion_weights"):
        IntegrationConfig.embedded(fusion_weights="somewhere")


@pytest.mark.parametrize("method", ["hierarchical", "adaptive"])
def test_heads_and_dropouts_reach_the_module_that_is_trained(method: Any) -> None:
    config = IntegrationConfig(fusion_method=method, num_attention_heads=4, attention_dropout=0.2, fusion_dropout=0.3)
    module = module_of(config, 16)
    assert isinstance(module, (HierarchicalFusion, AdaptiveFusion))
    options = module.options
    assert (options["num_heads"], options["attention_dropout"], options["dropout"]) == (4, 0.2, 0.3)


def test_heads_that_do_not_divide_the_space_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"num_attention_heads is 7.*384"):
        module_of(IntegrationConfig(num_attention_heads=7))


def test_gradient_checkpointing_reaches_the_training() -> None:
    assert IntegrationConfig(gradient_checkpointing=True).training(epochs=2).gradient_checkpointing is True
    assert IntegrationConfig().training().gradient_checkpointing is False
