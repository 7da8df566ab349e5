"""Thumbnails and sounds are what people judge a hit by: they must be small, playable, and the ones of that moment."""

import io
import wave

import numpy as np

from daemon.clips import Clips
from daemon.picture import decode, encode
from pipelines.moment import media_reference
from pipelines.packet import Packet
from pipelines.stages.encode import EncodedWindow
from pipelines.window import Window


def window(*packets: Packet) -> EncodedWindow:
    chosen = {packet.stream: [packet] for packet in packets}
    held = Window(start=0, end=10, group="g", id="1", packets={p.stream: (p,) for p in packets})
    return EncodedWindow(held, chosen, {})


def test_a_large_picture_becomes_a_thumbnail_of_its_shape():
    packet = Packet("camera", "image", 0, encode(np.zeros((720, 1280, 3), np.uint8)))
    clip = Clips()(window(packet))[media_reference(packet)]
    assert clip.kind == "image/jpeg"
    assert decode(clip.content).shape == (180, 320, 3)


def test_a_small_picture_is_kept_as_it_came():
    packet = Packet("camera", "image", 0, encode(np.zeros((240, 320, 3), np.uint8)))
    assert Clips()(window(packet))[media_reference(packet)].content == packet.payload


def test_a_sound_of_any_rate_and_channels_becomes_a_playable_clip():
    packet = Packet("mic", "audio", 0, np.full((44100, 2), 1000, np.int16), 44100)
    clip = Clips()(window(packet))[media_reference(packet)]
    with wave.open(io.BytesIO(clip.content)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (1, 16000, 16000)
        middle = np.frombuffer(sound.readframes(16000), "<i2")[2000:-2000]
    assert np.abs(middle - 1000).max() <= 2


def test_what_cannot_be_read_has_no_clip_and_harms_no_other():
    good = Packet("mic", "audio", 0, np.zeros((160, 1), np.int16), 16000)
    clips = Clips()(window(Packet("camera", "image", 0, b"no picture"), Packet("notes", "text", 0, "words"), good))
    assert list(clips) == [media_reference(good)]
