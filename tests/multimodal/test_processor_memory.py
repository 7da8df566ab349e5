"""What a processor keeps: encodings of inputs that come again, moments to be found again; and that both stay bounded."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from multimodal import IntegrationConfig, ModalityEmbedding, ModalityType, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.errors import InputError
from multimodal.integration.cache import EncodingCache, content_key
from tests.multimodal.fakes import FakeEncoder, fake_encoders

TEXT, IMAGE, AUDIO = ModalityType


def cached(**changes: int) -> tuple[EncodingCache, FakeEncoder]:
    encoder = FakeEncoder(TEXT)
    options = {"size": 3, "budget": 1_000_000, **changes}
    return EncodingCache(lambda modality, items: encoder.encode_batch(items), **options), encoder


def test_what_comes_again_is_not_computed_again_and_is_the_same() -> None:
    cache, encoder = cached()
    first = cache(TEXT, ["a", "b", "a"])
    assert encoder.seen == ["a", "b"]
    again = cache(TEXT, ["b", "a"])
    assert encoder.seen == ["a", "b"]
    assert torch.equal(first[0].embedding, again[1].embedding)
    assert torch.equal(first[2].embedding, again[1].embedding)
    assert not torch.equal(again[0].embedding, again[1].embedding)
    assert (cache.metrics()["hits"], cache.metrics()["misses"]) == (2, 3)


def test_nobody_can_change_what_another_gets() -> None:
    cache, _ = cached()
    [mine] = cache(TEXT, ["a"])
    expected = mine.embedding.clone()
    for held in (mine, *cache(TEXT, ["a"])):
        held.embedding.zero_()
        held.features.zero_()
        held.metadata["labels"].clear()
        held.metadata["native"].zero_()
    [yours] = cache(TEXT, ["a"])
    assert torch.equal(yours.embedding, expected)
    assert bool(yours.features.any())
    assert yours.metadata["labels"] == [("thing", 0.5)]
    assert torch.equal(yours.metadata["native"], expected)


def test_what_was_used_least_recently_goes() -> None:
    cache, encoder = cached(size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cache(TEXT, [text])
    assert encoder.seen == ["a", "b", "c", "b"]
    assert cache.metrics()["entries"] == 2


def test_the_cache_keeps_to_its_bytes() -> None:
    [entry] = FakeEncoder(TEXT).encode_batch(["a"])
    own = entry.embedding.nbytes + entry.features.nbytes + entry.embedding.nbytes
    cache, _ = cached(size=100, budget=4 * own)
    for number in range(50):
        cache(TEXT, [str(number)])
        assert cache.metrics()["bytes"] <= 4 * own
    assert 2 <= cache.metrics()["entries"] <= 4
    cache.clear()
    assert (cache.metrics()["entries"], cache.metrics()["bytes"]) == (0, 0)


def test_an_entry_does_not_hold_the_batch_that_it_came_with() -> None:
    whole = torch.zeros(64, 384)

    def encode(modality: ModalityType, items: object) -> list[ModalityEmbedding]:
        return [ModalityEmbedding(TEXT, row, row[None]) for row in whole]

    cache = EncodingCache(encode, size=100, budget=10**9)
    cache(TEXT, [str(i) for i in range(64)])
    [kept] = cache(TEXT, ["0"])
    assert kept.embedding.untyped_storage().nbytes() == 384 * 4


def test_what_cannot_be_read_is_tried_again() -> None:
    cache, encoder = cached()
    assert cache(TEXT, ["?"])[0].error
    assert cache(TEXT, ["?"])[0].error
    assert encoder.seen == ["?", "?"]


def test_contents_are_told_apart_by_shape_kind_and_rate() -> None:
    flat, other = np.zeros(6, np.int16), np.zeros(6, np.float32)
    keys = [
        content_key(IMAGE, flat), content_key(IMAGE, flat.reshape(2, 3)), content_key(IMAGE, other),
        content_key(AUDIO, (flat, 16_000)), content_key(AUDIO, (flat, 8_000)), content_key(IMAGE, torch.from_numpy(flat)),
        content_key(TEXT, ""), content_key(TEXT, "a"), content_key(IMAGE, torch.zeros(6, dtype=torch.bfloat16)),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert None not in keys
    assert content_key(IMAGE, np.zeros((4, 6))[:, ::2]) == content_key(IMAGE, np.zeros((4, 3)))
    assert content_key(IMAGE, object()) is None
    assert content_key(IMAGE, np.array([object()])) is None


def fake(**changes: object) -> UnifiedMultimodalProcessor:
    processor = UnifiedMultimodalProcessor(
        IntegrationConfig(**changes), encoders=fake_encoders()  # type: ignore[arg-type]
    )
    processor.initialize()
    return processor


def test_the_processor_uses_its_cache_and_clears_it() -> None:
    with fake(cache_size=8) as processor:
        moment = MultimodalInput(text="a", image=np.zeros((4, 4, 3), np.uint8))
        first, second = processor.process(moment), processor.process(moment, "batch")
        assert torch.equal(first.unified_representation.representation, second.unified_representation.representation)
        assert processor.metrics()["counts"]["encoded.text"] == 1
        assert processor.metrics()["cache"]["hits"] == 2
        processor.clear_cache()
        processor.process(moment)
        assert processor.metrics()["counts"]["encoded.text"] == 2
    with fake(cache_size=0) as processor:
        processor.process([moment, moment])
        assert processor.metrics()["counts"]["encoded.text"] == 2


def test_what_was_processed_is_found_again_across_modalities() -> None:
    with fake() as processor:
        pictures = [np.full((300, 600, 3), shade, np.uint8) for shade in range(5)]
        moments = [MultimodalInput(image=one, audio=np.full(9, i, np.int16)) for i, one in enumerate(pictures)]
        outputs = processor.process(moments)
        asked = outputs[3].modality_specific_outputs["image"]
        assert len(asked.embedding) == 512
        found = processor.retrieve_cross_modal(asked, ModalityType.IMAGE, top_k=2)
        assert found[0].metadata["moment"] == 3
        assert found[0].similarity_score == pytest.approx(1, abs=1e-3)
        assert found[0].retrieved_content.shape == (112, 224, 3)
        assert int(found[0].retrieved_content[0, 0, 0]) == 3
        bare = ModalityEmbedding(ModalityType.IMAGE, asked.embedding, asked.features)
        assert processor.retrieve_cross_modal(bare, "image", 1)[0].metadata["moment"] == 3
        original = ModalityEmbedding(ModalityType.IMAGE, asked.metadata["shared"], asked.features)
        assert processor.retrieve_cross_modal(original, "image", 1)[0].metadata["moment"] == 3
        samples, rate = processor.retrieve_cross_modal("anything", "audio", 1)[0].retrieved_content
        assert (len(samples), rate) == (9, 16_000)
        assert processor.retrieve_cross_modal("anything", "text", 1) == []


def test_a_picture_that_is_changed_afterwards_is_remembered_as_it_was() -> None:
    with fake() as processor:
        picture = np.full((20, 30, 3), 7, np.uint8)
        processor.process(MultimodalInput(image=picture))
        picture[:] = 0
        [found] = processor.retrieve_cross_modal("x", "image", 1)
        assert int(found.retrieved_content.min()) == 7


def test_questions_that_cannot_be_asked_say_why() -> None:
    with fake() as processor:
        processor.process(MultimodalInput(text="a"))
        short = ModalityEmbedding(ModalityType.TEXT, torch.ones(7), torch.zeros(1, 7))
        with pytest.raises(InputError, match=r"7 dimensions.*\[384, 512\]"):
            processor.retrieve_cross_modal(short, "text", 1)
        with pytest.raises(InputError, match="smell"):
            processor.retrieve_cross_modal("a", "smell", 1)
        with pytest.raises(InputError, match="cannot be read"):
            processor.retrieve_cross_modal("?", "text", 1)
        with pytest.raises(InputError, match="int"):
            processor.retrieve_cross_modal(3, "text", 1)  # type: ignore[arg-type]
    with fake(index_size=0) as processor, pytest.raises(InputError, match="index_size"):
        processor.retrieve_cross_modal("a", "text", 1)


def test_the_oldest_moments_are_forgotten_by_number_and_by_bytes() -> None:
    with fake(index_size=3) as processor:
        for i in range(10):
            processor.process(MultimodalInput(text=str(i)))
        found = processor.retrieve_cross_modal("9", "text", 10)
        assert sorted(one.retrieved_content for one in found) == ["7", "8", "9"]
    budget = 100_000
    with fake(memory_budget=budget, max_image_size=(64, 64)) as processor:
        for i in range(40):
            processor.process(MultimodalInput(image=np.full((200, 200, 3), i, np.uint8)))
            held = processor.metrics()
            assert held["cache"]["bytes"] + held["remembered"]["bytes"] <= budget
        assert 1 <= held["remembered"]["moments"] <= 4


SOAK = """
import numpy as np
from multimodal import IntegrationConfig, MultimodalInput, UnifiedMultimodalProcessor
from multimodal.integration.meter import resident
from tests.multimodal.fakes import fake_encoders
encoders = fake_encoders()
for one in encoders.values():
    one.seen = one.calls = type("Hole", (list,), {"__iadd__": lambda self, other: self, "append": lambda self, x: None})()
config = IntegrationConfig(enable_real_time_processing=True, use_attention_visualization=True, index_size=50, cache_size=50)
with UnifiedMultimodalProcessor(config, encoders=encoders) as processor:
    dice = np.random.default_rng(0)
    def some(count):
        for i in range(count):
            picture = dice.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            moment = MultimodalInput(text=str(dice.random()), image=picture)
            if i % 2:
                processor.process(moment, ("sequential", "parallel", "batch")[i % 3])
            else:
                processor.add_real_time_input(moment)
                list(processor.real_time_results())
    some(300)
    before = resident()
    some(600)
    print(resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")  # noqa: PTH110
def test_memory_does_not_grow_with_the_calls() -> None:
    done = subprocess.run([sys.executable, "-c", SOAK], check=True, capture_output=True, text=True)
    grown = int(done.stdout)
    assert grown < 5_000_000, f"{grown} bytes after 600 calls; each leaked picture and its entry would be 25 kB, 15 MB in all"
