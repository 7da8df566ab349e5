"""The body is the contract with every consumer: the same moment must be the same bytes, today and in a replay next year."""

import base64
import json

import numpy as np
import pytest

from pipelines.moment import Moment, canonical, make_moment, media_reference
from pipelines.packet import Gap, Packet
from pipelines.protocols import Encoded, Fused
from pipelines.window import Window

AXIS = np.array([1, 0], np.float32)
OTHER = np.array([0, 1], np.float32)


def moment(**changes: object) -> Moment:
    packets = {
        "camera": (Packet("camera", "image", 5, b"one"), Packet("camera", "image", 7, b"two")),
        "notes": (Packet("notes", "text", 6, "tea is ready"),),
    }
    window = Window(
        start=0, end=10, group="hall", id="ab12", packets=packets, revision=0, complete=False,
        gaps={"mic": (Gap("mic", 0, 10, "idle"),)},
    )  # fmt: skip
    encoded = {
        "camera": [
            Encoded("image", AXIS, AXIS, labels=(("cup", 0.75), ("pot", 0.25)), quality=0.5, confidence=0.75),
            Encoded("image", OTHER, AXIS, labels=(("cup", 0.25),), quality=1.0, confidence=0.25),
        ],
        "notes": [Encoded("text", AXIS, AXIS, text="tea is ready")],
    }
    fused = Fused(
        AXIS, {"camera": 2 / 3, "notes": 1 / 3}, {"camera|notes": -0.0}, 0.5, {("notes", "camera"): np.eye(1)}
    )
    chosen = {stream: list(row) for stream, row in packets.items()}
    return make_moment(window, chosen, encoded, fused, "model-1")


def test_the_body_is_canonical_json():
    body = moment().body(3)
    document = json.loads(body)
    assert body == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert document["revision"] == 3
    assert document["complete"] is False
    assert document["gaps"] == {"mic": [{"start": 0, "end": 10, "reason": "idle"}]}
    assert document["alignment"] == {"camera|notes": 0.0}
    assert b"-0.0" not in body
    assert document["streams"]["camera"]["contribution"] == 0.666667
    assert document["streams"]["notes"]["text"] == ["tea is ready"]
    assert np.frombuffer(base64.b64decode(document["fused"]), "<f2").tolist() == [1, 0]


def test_a_stream_says_what_it_showed_on_average():
    camera = moment().streams["camera"]
    assert camera.labels == (("cup", 0.5), ("pot", 0.125))
    assert camera.quality == 0.75
    assert camera.vector == pytest.approx([0.5**0.5, 0.5**0.5])
    assert camera.packets == 2


def test_what_could_not_be_read_says_why():
    packet = Packet("camera", "image", 5, b"no picture")
    window = Window(
        start=0, end=10, group="g", id="1", packets={"camera": (packet,)}, revision=0, complete=True, gaps={}
    )
    broken = Encoded(
        "image", np.zeros(2, np.float32), np.zeros(2, np.float32), quality=0.0, confidence=0.0, error="no JPEG"
    )
    result = make_moment(window, {"camera": [packet]}, {"camera": [broken]}, Fused(np.zeros(2, np.float32)), "m")
    assert json.loads(result.body(0))["streams"]["camera"]["errors"] == ["no JPEG"]


def test_no_number_without_a_json_form_is_ever_published():
    with pytest.raises(ValueError, match="nan"):
        canonical({"a": [{"b": float("nan")}]})


def test_a_lone_surrogate_does_not_stop_the_stream():
    assert canonical({"text": "a\ud800b"}) == b'{"text":"a?b"}'


def test_media_are_named_by_their_content():
    sound = np.zeros((4, 1), np.int16)
    assert media_reference(Packet("a", "audio", 1, sound, 16000)) == media_reference(
        Packet("b", "audio", 2, sound, 16000)
    )
    assert media_reference(Packet("a", "audio", 1, sound, 16000)) != media_reference(
        Packet("a", "audio", 1, sound, 8000)
    )
    assert media_reference(Packet("a", "text", 1, "words")) is None
