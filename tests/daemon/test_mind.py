"""The adapter between stream and library: mixed up rows here would give one camera the words of another."""

import numpy as np
import pytest

from daemon.config import Config
from daemon.mind import open_mind
from daemon.picture import encode
from pipelines.errors import QuestionError
from pipelines.packet import Packet

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def mind(pulled):
    with open_mind(Config()) as opened:
        yield opened


def picture(seed: int) -> Packet:
    noise = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8)
    return Packet("camera", "image", seed, encode(noise))


def test_an_unreadable_picture_keeps_its_place_and_leaves_its_neighbours_alone(mind):
    good = [picture(1), picture(2)]
    mixed = mind.encode([good[0], Packet("camera", "image", 9, b"no picture"), good[1]])
    alone = [mind.encode([packet])[0] for packet in good]
    assert mixed[1].error is not None
    assert (mixed[1].quality, mixed[1].confidence) == (0.0, 0.0)
    for got, expected in zip((mixed[0], mixed[2]), alone, strict=True):
        assert np.array_equal(got.vector, expected.vector)
        assert got.labels == expected.labels


def test_every_modality_reaches_the_stage_in_its_shapes(mind):
    [seen] = mind.encode([picture(1)])
    [heard] = mind.encode([Packet("mic", "audio", 0, np.zeros((16000, 2), np.int16), 16000)])
    [said] = mind.encode([Packet("notes", "text", 0, "tea is ready")])
    assert (seen.vector.shape, seen.native.shape, seen.cells.shape) == ((384,), (1280,), (7, 7, 384))
    assert (heard.vector.shape, heard.native.shape, heard.cells) == ((384,), (1024,), None)
    assert (said.vector.shape, said.text) == ((384,), "tea is ready")


def test_the_attention_that_is_shown_survives_the_adapter(mind):
    row = {"camera": mind.encode([picture(1)]), "notes": mind.encode([Packet("notes", "text", 0, "a carpet")])}
    [fused] = mind.fuse([row])
    assert list(fused.attention) == [("notes", "camera")]
    assert fused.attention["notes", "camera"].sum() == pytest.approx(1.0, abs=1e-5)
    assert sum(fused.contributions.values()) == pytest.approx(1.0)


def test_a_window_in_which_nothing_can_be_read_is_still_a_moment(mind):
    [fused] = mind.fuse([{"camera": mind.encode([Packet("camera", "image", 0, b"")])}])
    assert not fused.vector.any()


def test_a_question_in_words_carries_the_names_nearest_to_it(mind):
    names = [name for name, _ in mind.question(text="a violin").labels]
    assert "violin" in names
    assert any("Violin" in name for name in names)


def test_a_question_that_cannot_be_read_says_so(mind):
    with pytest.raises(QuestionError, match=r"cannot be read"):
        mind.question(image=b"no picture")
