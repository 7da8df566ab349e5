"""A score a user can act on: a covered lens, a blown-out picture, a dead microphone, a broken record."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from multimodal.quality import audio_quality, image_quality, text_quality

Pictures = Callable[[int, int], NDArray[np.uint8]]
Sounds = Callable[[float, int], NDArray[np.int16]]


@pytest.fixture
def scene(picture: Pictures) -> NDArray[np.uint8]:
    """Blobs with hard edges on them: what a camera in focus gives."""
    pixels = picture(224, 224)
    for i in range(8, 200, 16):
        for j in range(8, 200, 40):
            cv2.rectangle(pixels, (i, j), (i + 8, j + 12), (255 - i, i, 90), -1)
    return pixels


def test_a_good_picture_is_good(scene: NDArray[np.uint8]) -> None:
    assert image_quality(scene)["quality"] == 1


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_dead_frame_is_worth_nothing(level: int) -> None:
    scores = image_quality(np.full((224, 224, 3), level, np.uint8))
    assert scores["quality"] == scores["content"] == 0


def test_dark_and_blown_out_pictures_lose_by_their_exposure(scene: NDArray[np.uint8]) -> None:
    dark, bright = (scene // 16), (255 - scene // 16)
    assert image_quality(dark)["exposure"] < 0.2
    assert image_quality(bright)["exposure"] < 0.2


def test_a_thing_on_a_white_sheet_can_be_seen(scene: NDArray[np.uint8]) -> None:
    """Lost otherwise: a picture that says a lot has quality 0 and takes no part in its moment."""
    sheet = np.full((224, 224, 3), 255, np.uint8)
    sheet[100:124, 100:124] = scene[100:124, 100:124]
    assert image_quality(sheet)["quality"] >= 0.1


def test_blur_falls_with_focus_and_nothing_else_does(scene: NDArray[np.uint8]) -> None:
    scores = [image_quality(np.asarray(cv2.GaussianBlur(scene, (0, 0), sigma), np.uint8)) for sigma in (1, 3, 9)]
    sharpness = [score["sharpness"] for score in scores]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[-1] < 0.3
    assert all(score["exposure"] == score["content"] == 1 for score in scores)


def test_a_good_sound_is_good_at_every_rate(sound: Sounds) -> None:
    for rate in (8_000, 44_100):
        scores = audio_quality(sound(1, rate).astype(np.float32) / 32768, rate)
        assert scores["loudness"] == scores["clipping"] == 1
        assert scores["quality"] >= 0.5


def test_silence_is_worth_nothing() -> None:
    assert audio_quality(np.zeros(16_000, np.float32), 16_000)["quality"] == 0
    assert audio_quality(np.zeros(0, np.float32), 16_000)["quality"] == 0


def test_clipping_is_seen(sound: Sounds) -> None:
    loud = np.clip(sound(1, 16_000).astype(np.float32) / 1000, -1, 1)
    assert audio_quality(loud, 16_000)["clipping"] == 0


def test_a_clap_in_a_quiet_room_stands_out_more_than_steady_noise(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 0.01, 16_000).astype(np.float32)
    clap = noise.copy()
    clap[4_000:6_000] *= 30
    steady, event = (audio_quality(x, 16_000)["signal_to_noise"] for x in (noise, clap))
    assert 0.5 <= steady < 0.6
    assert event == 1


@pytest.mark.parametrize("samples", [1, 7, 319, 321])
def test_sounds_shorter_than_a_frame_have_a_score(samples: int) -> None:
    assert 0 <= audio_quality(np.full(samples, 0.1, np.float32), 16_000)["quality"] <= 1


def test_words_are_good_repetition_and_marks_are_not() -> None:
    assert text_quality("the tea is ready in the kitchen", 1.1)["quality"] == 1
    assert text_quality("ok", 1.0)["quality"] == 1
    assert text_quality("ha ha ha ha ha ha", 1.0)["variety"] == pytest.approx(0.4)
    assert text_quality("... --- ...", 1.0)["quality"] == 0


def test_what_is_not_english_counts_less_but_not_nothing() -> None:
    assert text_quality("Donaudampfschifffahrtsgesellschaft", 12.0)["quality"] == pytest.approx(0.2)
    assert text_quality("whatever", None)["english"] == 1


def test_every_score_is_a_plain_number_in_its_range(scene: NDArray[np.uint8]) -> None:
    for scores in (image_quality(scene), audio_quality(np.ones(99, np.float32), 16_000), text_quality("a b c d", 9.0)):
        assert scores["quality"] == min(scores.values())
        assert all(type(value) is float and 0 <= value <= 1 for value in scores.values())
