"""What is encoded must depend on the window alone, or a replay would differ from what was published live."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.packet import SECOND, Packet
from pipelines.select import select
from pipelines.window import Window


def window(packets: list[Packet], *, start: int = 0, length: int = 2 * SECOND) -> Window:
    return Window(
        start=start, end=start + length, group="g", id="1", packets={packets[0].stream: tuple(packets)},
        revision=0, complete=True, gaps={},
    )  # fmt: skip


def picture(at: float) -> Packet:
    return Packet("camera", "image", int(at * SECOND), str(at).encode())


def test_the_newest_picture_of_each_full_second():
    """
    second   |0          |1          |
    frames    .1  .5  .9  1.2   1.8
    chosen            .9        1.8
    """
    frames = [picture(at) for at in (0.1, 0.5, 0.9, 1.2, 1.8)]
    assert select(window(frames))["camera"] == [frames[2], frames[4]]


def test_a_window_shorter_than_a_second_shows_its_newest_picture():
    frames = [picture(0.1), picture(0.3)]
    assert select(window(frames, length=SECOND // 2))["camera"] == [frames[1]]


def test_words_are_joined_in_time_order():
    words = [Packet("notes", "text", 3, "tea"), Packet("notes", "text", 9, "is ready")]
    [joined] = select(window(words))["notes"]
    assert (joined.payload, joined.timestamp) == ("tea is ready", 3)


@given(
    rate=st.sampled_from([16000, 44100, 48000]),
    offset=st.integers(0, SECOND),
    cuts=st.lists(st.integers(1, 3999), unique=True, max_size=12).map(sorted),
)
def test_the_sound_of_a_window_does_not_depend_on_its_chunks(rate, offset, cuts):
    samples = np.arange(4000, dtype=np.int16).reshape(-1, 1)
    whole = Packet("mic", "audio", 7 * SECOND + offset, samples, rate)
    edges = [0, *cuts, 4000]
    parts = [
        Packet("mic", "audio", whole.timestamp + a * SECOND // rate, samples[a:b], rate)
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    [one] = select(window([whole], start=7 * SECOND))["mic"]
    [many] = select(window(parts, start=7 * SECOND))["mic"]
    assert np.array_equal(one.payload, many.payload)
    assert one.timestamp == many.timestamp == 7 * SECOND


def test_a_hole_in_the_sound_is_silence_and_never_glued_over():
    ones = np.ones((100, 1), np.int16)
    parts = [Packet("mic", "audio", 0, ones, 1000), Packet("mic", "audio", SECOND // 2, ones, 1000)]
    [sound] = select(window(parts))["mic"]
    assert sound.payload[:100].all()
    assert not sound.payload[100:500].any()
    assert sound.payload[500:].all()


def test_a_change_of_rate_gives_a_packet_for_each_format():
    parts = [
        Packet("mic", "audio", 0, np.ones((100, 1), np.int16), 1000),
        Packet("mic", "audio", SECOND, np.ones((200, 2), np.int16), 2000),
    ]
    assert [(p.rate, p.payload.shape) for p in select(window(parts))["mic"]] == [(1000, (100, 1)), (2000, (2200, 2))]
