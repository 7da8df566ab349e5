"""Bytes that call themselves a picture come from outside: a wrong one must cost a sentence, never memory or a crash."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.picture import PictureError, decode, decode_any, encode, jpeg_size

GREY = np.full((48, 64, 3), (10, 128, 250), np.uint8)
JPEG = encode(GREY)


def header(height: int, width: int) -> bytes:
    """Start of image and a baseline frame header that claims a size."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


def test_a_picture_comes_back_in_its_colours():
    picture = decode(JPEG)
    assert picture.shape == GREY.shape
    assert np.abs(picture.astype(int) - GREY).max() <= 3


def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(PictureError, match=r"20000x20000; the limit is 50 million"):
        decode(header(20_000, 20_000) + JPEG[20:])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"GIF89a", "not a JPEG"),
        (header(0, 0), "0x0"),
        (JPEG[:20], "ends before its frame header"),
        (b"\xff\xd8 no marker", "no marker"),
        (header(10, 10), "cannot decode"),
    ],
)
def test_what_is_no_picture_says_why(content, why):
    with pytest.raises(PictureError, match=why):
        decode(content)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_whatever_the_bytes_are_the_answer_is_a_picture_or_a_reason(junk, keep):
    for content in (junk, JPEG[:keep] + junk, b"\xff\xd8" + junk):
        try:
            assert decode(content).shape[2] == 3
        except PictureError as error:
            assert str(error)


def test_a_large_picture_is_decoded_small_enough_for_the_encoder_and_no_smaller():
    large = decode(encode(np.zeros((2160, 3840, 3), np.uint8)))
    assert large.shape == (540, 960, 3)


def test_a_question_may_be_a_png():
    content = bytes(cv2.imencode(".png", cv2.cvtColor(GREY, cv2.COLOR_RGB2BGR))[1])
    assert np.array_equal(decode_any(content), GREY)
    assert jpeg_size(JPEG) == (48, 64)
