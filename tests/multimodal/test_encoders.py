"""What a user gets from an encoder: the same bits in every batch, every promised input form, one space for all three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.errors import InputError
from multimodal.types import ModalityEmbedding

pytestmark = pytest.mark.models

Pictures = Callable[[int, int], NDArray[np.uint8]]
Sounds = Callable[[float, int], NDArray[np.int16]]

WORDS = ["tea is ready", "a dog barks at the postman in the rain", "ok", "violin"] * 8
LONG = "the quick brown fox jumps over the lazy dog and " * 9


def same_bits(a: ModalityEmbedding, b: ModalityEmbedding) -> bool:
    return (
        torch.equal(a.embedding, b.embedding)
        and torch.equal(a.features, b.features)
        and torch.equal(a.metadata["native"], b.metadata["native"])
        and a.metadata["labels"] == b.metadata["labels"]
        and (a.quality_score, a.confidence) == (b.quality_score, b.confidence)
    )


def assert_batch_free(encode: Callable[[Sequence[Any]], list[ModalityEmbedding]], items: list[Any]) -> None:
    """Batches of 1, 3 and 32, and any place in them, give the same bits."""
    whole = encode(items)
    assert len(whole) == len(items) == 32
    for size in (1, 3):
        parts = [entry for i in range(0, 32, size) for entry in encode(items[i : i + size])]
        assert all(same_bits(a, b) for a, b in zip(whole, parts, strict=True))
    backwards = encode(items[::-1])[::-1]
    assert all(same_bits(a, b) for a, b in zip(whole, backwards, strict=True))


def test_text_bits_do_not_depend_on_the_batch_or_on_longer_neighbours(text: TextModalityEncoder) -> None:
    items = [f"{words} {i}" for i, words in enumerate(WORDS)]
    items[5], items[17] = LONG, LONG * 20
    assert_batch_free(text.encode_batch, items)


def test_picture_bits_do_not_depend_on_the_batch(image: ImageModalityEncoder, picture: Pictures) -> None:
    assert_batch_free(image.encode_batch, [picture(200 + 7 * i, 320) for i in range(32)])


def test_sound_bits_do_not_depend_on_the_batch(audio: AudioModalityEncoder, sound: Sounds) -> None:
    rates = (16_000, 44_100, 48_000, 8_000)
    items = [(sound(0.3 + 0.1 * i, rates[i % 4]), rates[i % 4]) for i in range(32)]
    assert_batch_free(audio.encode_batch, items)


def test_all_three_land_in_one_space(
    text: TextModalityEncoder,
    image: ImageModalityEncoder,
    audio: AudioModalityEncoder,
    picture: Pictures,
    sound: Sounds,
) -> None:
    entries = [text("a cat"), image(picture(240, 320)), audio(sound(2, 16_000))]
    native = {"text": 384, "image": 1280, "audio": 1024}
    shapes = {"text": (4, 384), "image": (49, 384), "audio": (3, 1024)}
    for entry in entries:
        assert entry.embedding.shape == (384,)
        assert entry.embedding.dtype == torch.float32
        assert abs(float(entry.embedding.norm()) - 1) < 1e-5
        assert tuple(entry.features.shape) == shapes[entry.modality]
        assert tuple(entry.metadata["native"].shape) == (native[entry.modality],)
        assert 0 <= entry.quality_score <= 1
        assert 0 <= entry.confidence <= 1
    assert entries[1].metadata["grid"] == (7, 7)
    for entry in entries[1:]:
        probabilities = [p for _, p in entry.metadata["labels"]]
        assert len(probabilities) == 10
        assert probabilities == sorted(probabilities, reverse=True)


def test_text_means_something(text: TextModalityEncoder) -> None:
    cat, kitten, market = (entry.embedding for entry in text(["a cat", "a kitten is sleeping", "the market fell"]))
    assert float(cat @ kitten) > float(cat @ market) + 0.2


def test_text_is_read_up_to_256_tokens_and_a_huge_one_costs_no_more(text: TextModalityEncoder) -> None:
    (entry,) = text.encode_batch(["word " * 10_000_000])
    assert entry.features.shape == (256, 384)
    assert torch.equal(entry.embedding, text("word " * 300).embedding)


def test_half_a_surrogate_in_a_text_loses_nothing_else(text: TextModalityEncoder) -> None:
    good, broken = text.encode_batch(["tea", "tea \ud800 time"])
    assert good.error is None
    assert broken.error is None


def test_a_picture_is_the_same_in_every_form(image: ImageModalityEncoder, picture: Pictures) -> None:
    pixels = picture(120, 160)
    forms = [
        pixels.transpose(2, 0, 1), pixels.transpose(2, 0, 1)[None], torch.from_numpy(pixels), pixels[:, ::-1][:, ::-1],
        pixels.astype(np.float64) / 255, torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255,
    ]  # fmt: skip
    whole = image(pixels)
    for form in forms:
        assert same_bits(image(form), whole)
    bright = pixels.astype(np.float32) / 128  # above 1: clipped, not refused
    assert same_bits(image(bright), image(np.minimum(bright, 1)))


def test_cells_are_where_they_are_in_the_picture(image: ImageModalityEncoder, picture: Pictures) -> None:
    left = picture(224, 224)
    right = left.copy()
    right[:96, 160:] = picture(96, 64)
    change = (image(left).features - image(right).features).norm(dim=1).view(7, 7)
    assert divmod(int(change.argmax()), 7) in [(row, column) for row in range(3) for column in (5, 6)]
    assert float(change[:3, 5:].mean()) > 2 * float(change[4:, :3].mean())


def test_sound_of_any_rate_and_form_is_heard_alike(audio: AudioModalityEncoder, sound: Sounds) -> None:
    mono = sound(1.5, 16_000)
    whole = audio(mono)
    assert same_bits(audio(np.stack([mono, mono], 1)), whole)
    assert same_bits(audio(torch.from_numpy(mono)), whole)
    assert float(audio(mono / 32768.0).embedding @ whole.embedding) > 0.9999
    import soxr

    other = soxr.resample(mono.astype(np.float32) / 32768, 16_000, 44_100)
    assert float(audio(other, 44_100).embedding @ whole.embedding) > 0.98


@pytest.mark.parametrize(("seconds", "patches"), [(0.01, 1), (0.975, 1), (1.45, 1), (1.455, 2), (2.0, 3)])
def test_patches_start_every_half_second_and_a_short_sound_fills_one(
    audio: AudioModalityEncoder, sound: Sounds, seconds: float, patches: int
) -> None:
    assert len(audio(sound(seconds, 16_000)).features) == patches


BAD_PICTURES: list[Any] = [
    np.zeros((0, 0, 3), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
    np.zeros((4, 4, 3), np.int64), np.full((4, 4, 3), np.nan), b"jpeg", None,
]  # fmt: skip
BAD_SOUNDS: list[tuple[Any, Any]] = [
    (np.zeros(0, np.int16), 16_000), (np.array([0.0, np.nan]), 16_000), (np.array([0.0, np.inf], np.float32), 16_000),
    (np.zeros(9, np.int64), 16_000), (np.zeros(9, bool), 16_000), (np.zeros((2, 16_000), np.float32), 16_000),
    (np.zeros(9, np.int16), 0), (np.zeros(9, np.int16), -1), (np.zeros(9, np.int16), 44.1), ("la", 16_000),
]  # fmt: skip
BAD_TEXTS: list[Any] = ["", " \n\t", None, 7, b"tea"]


@pytest.mark.parametrize("bad", BAD_PICTURES, ids=range(len(BAD_PICTURES)))
def test_a_bad_picture_is_an_error_alone_and_an_entry_in_a_batch(
    image: ImageModalityEncoder, picture: Pictures, bad: Any
) -> None:
    with pytest.raises(InputError):
        image(bad)
    good = picture(64, 64)
    assert_marked(image.encode_batch([good, bad, good]), image(good))


@pytest.mark.parametrize("bad", BAD_SOUNDS, ids=range(len(BAD_SOUNDS)))
def test_a_bad_sound_is_an_error_alone_and_an_entry_in_a_batch(
    audio: AudioModalityEncoder, sound: Sounds, bad: tuple[Any, Any]
) -> None:
    with pytest.raises(InputError):
        audio(*bad)
    good = sound(1, 16_000)
    assert_marked(audio.encode_batch([(good, 16_000), bad, (good, 16_000)]), audio(good))


def test_a_sound_without_its_rate_spoils_no_batch(audio: AudioModalityEncoder, sound: Sounds) -> None:
    good = sound(1, 16_000)
    items: list[Any] = [(good, 16_000), good, (good, 16_000)]
    assert_marked(audio.encode_batch(items), audio(good))


@pytest.mark.parametrize("bad", BAD_TEXTS, ids=repr)
def test_a_bad_text_is_an_error_alone_and_an_entry_in_a_batch(text: TextModalityEncoder, bad: Any) -> None:
    with pytest.raises(InputError):
        text(bad)
    assert_marked(text.encode_batch(["tea", bad, "tea"]), text("tea"))


def assert_marked(entries: list[ModalityEmbedding], good: ModalityEmbedding) -> None:
    first, bad, last = entries
    assert same_bits(first, good)
    assert same_bits(last, good)
    assert bad.error
    assert (bad.quality_score, bad.confidence) == (0, 0)
    assert not bad.embedding.any()


def test_a_batch_of_nothing_is_nothing(
    text: TextModalityEncoder, image: ImageModalityEncoder, audio: AudioModalityEncoder
) -> None:
    assert text.encode_batch([]) == image.encode_batch([]) == audio.encode_batch([]) == []
    assert len(image.encode_batch([None, None])) == 2
