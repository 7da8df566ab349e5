"""What a user would lose: the numbers of the live run in the replay, and a file that somebody else wrote."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, IndexType, Writer

from connectors.recording.codec import Limits, encode
from connectors.recording.messages import MESSAGE_TYPES, PICTURE, SOUND, WORDS, descriptor_set
from connectors.recording.replay import Recording, open_recording
from connectors.recording.schema import Alignment
from connectors.recording.writer import RecordingWriter
from pipelines.errors import RecordingError
from pipelines.packet import SECOND, Bound, Event, Gap, Packet
from pipelines.watermark import StreamTime

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
START = 1_760_000_000 * SECOND


def events(recording: Recording, stream: str) -> list[Event]:
    return [event for batch in recording.source(stream).batches() for event in batch]


def texts(recording: Recording, stream: str = "notes") -> list[str]:
    return [event.payload for event in events(recording, stream) if isinstance(event, Packet)]  # type: ignore[misc]


def same(one: Event, other: Event) -> bool:
    """Equal, but for the number a packet was given."""
    if not isinstance(one, Packet) or not isinstance(other, Packet):
        return one == other
    key = ("stream", "modality", "timestamp", "rate")
    if any(getattr(one, name) != getattr(other, name) for name in key):
        return False
    if isinstance(one.payload, np.ndarray):
        return isinstance(other.payload, np.ndarray) and np.array_equal(one.payload, other.payload)
    return one.payload == other.payload


# --- what was recorded is what is replayed

TIMES = st.integers(-(2**62), 2**66)
NEAR = st.integers(START, START + 10 * SECOND)


@st.composite
def anything(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["image", "audio", "text", "bound", "gap"]))
    time = draw(st.one_of(NEAR, TIMES))
    if kind == "image":
        return Packet("camera", "image", time, JPEG + draw(st.binary(max_size=300)))
    if kind == "audio":
        channels = draw(st.integers(1, 3))
        frames = draw(st.integers(0, 200))
        samples = np.random.default_rng(frames).integers(-(2**15), 2**15, (frames, channels)).astype(np.int16)
        return Packet("mic", "audio", time, samples, draw(st.sampled_from([8_000, 16_000, 44_100, 48_000])))
    stream = draw(st.sampled_from(["camera", "mic", "notes"]))
    if kind == "bound":
        return Bound(stream, time)
    if kind == "gap":
        return Gap(
            stream, time, time + draw(st.integers(0, SECOND)), draw(st.text(st.characters(codec="utf-8"), max_size=9))
        )
    return Packet("notes", "text", time, draw(st.text(st.characters(codec="utf-8"), max_size=40)))


@settings(max_examples=40, deadline=None)
@given(st.lists(anything(), max_size=60), st.integers(50, 3_000), st.booleans(), st.data())
def test_a_replay_gives_what_passed_stream_by_stream_in_order(
    tmp_path_factory: pytest.TempPathFactory, items: list[Event], chunk: int, closed: bool, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("replay") / "a.mcap"
    clock = data.draw(st.lists(NEAR, min_size=len(items), max_size=len(items)))  # arrival goes back now and then
    with path.open("wb") as file:
        writer = RecordingWriter(
            file, modalities={"camera": "image", "mic": "audio", "notes": "text"}, chunk_bytes=chunk
        )
        for item, now in zip(items, clock, strict=True):
            writer.write(item, now)
        writer.close() if closed else writer.flush()
    recording = open_recording(path)
    for stream in ("camera", "mic", "notes"):
        mine = [item for item in items if item.stream == stream]
        if not items and not closed:
            continue  # nothing is written before there is something
        got = events(recording, stream)
        assert len(got) == len(mine)
        assert all(same(one, other) for one, other in zip(got, mine, strict=True))
        packets = [event for event in got if isinstance(event, Packet)]
        assert [packet.sequence for packet in packets] == list(range(len(packets)))
        about = recording.streams[stream]
        assert about.packets == len(packets)
        assert (about.first, about.last) == ((packets[0].timestamp, packets[-1].timestamp) if packets else (None, None))
    assert recording.damage == [] or not closed


async def test_a_source_reads_without_blocking_and_leaves_no_file_open(tmp_path: Path) -> None:
    path = recorded(tmp_path, [Packet("notes", "text", START + n, str(n)) for n in range(500)])
    stream = open_recording(path).source("notes").events()
    assert (await anext(stream)).payload == "0"  # type: ignore[union-attr]
    await stream.aclose()
    rest = [event.payload async for event in open_recording(path).source("notes").events()]  # type: ignore[union-attr]
    assert rest == [str(n) for n in range(500)]


def recorded(folder: Path, items: list[Event], *, chunk: int = 400, close: bool = True, name: str = "a.mcap") -> Path:
    path = folder / name
    with path.open("wb") as file:
        writer = RecordingWriter(file, chunk_bytes=chunk)
        for number, item in enumerate(items):
            writer.write(item, START + number)
        writer.close() if close else writer.flush()
    return path


@pytest.mark.parametrize(
    ("entry", "value"),
    [("length", "0"), ("hop", "soon"), ("streams", "[]"), ("streams", '{"a": {"bound": true}}'), ("exact", "1")],
)
def test_an_alignment_that_makes_no_sense_is_told_and_the_packets_are_there(
    tmp_path: Path, entry: str, value: str
) -> None:
    path = tmp_path / "a.mcap"
    good = Alignment(length=SECOND, hop=SECOND, streams={"notes": StreamTime()}).to_metadata()
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("sensorium", good | {entry: value})
        channel = writer.register_channel(
            "notes", "protobuf", writer.register_schema(WORDS, "protobuf", descriptor_set(WORDS))
        )
        writer.add_message(channel, START, note("here"), START)
        writer.finish()
    recording = open_recording(path)
    assert recording.alignment is None
    assert entry in recording.damage[0]
    assert "like a file of others" in recording.damage[0]
    assert texts(recording) == ["here"]


# --- files that others wrote


def foreign(
    path: Path,
    rows: list[tuple[str, str, str, bytes, int]],
    *,
    log_times: list[int] | None = None,
    compression: CompressionType = CompressionType.NONE,
    **options: Any,
) -> Path:
    """Write (topic, schema name, encoding, data, publish time) rows with the format's own library."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression, **options)
        writer.start()
        channels: dict[tuple[str, str], int] = {}
        for number, (topic, name, encoding, data, publish) in enumerate(rows):
            if (topic, name) not in channels:
                known = name in MESSAGE_TYPES and encoding == "protobuf"
                schema = writer.register_schema(
                    name, "protobuf" if known else "jsonschema", descriptor_set(name) if known else b"{}"
                )
                channels[topic, name] = writer.register_channel(topic, encoding, schema)
            log_time = log_times[number] if log_times else START + number
            writer.add_message(channels[topic, name], log_time, data, publish)
        writer.finish()
    return path


def note(text: str, time: int = START) -> bytes:
    return encode(Packet("notes", "text", time, text))


def rows_of_three() -> list[tuple[str, str, str, bytes, int]]:
    rows = []
    for number in range(40):
        time = START + number * SECOND
        rows.append(("notes", WORDS, "protobuf", note(f"line {number}", time), time))
        rows.append(("camera", PICTURE, "protobuf", encode(Packet("camera", "image", time, JPEG)), time))
        samples = np.full((160, 2), number, np.int16)
        rows.append(("mic", SOUND, "protobuf", encode(Packet("mic", "audio", time, samples, 16_000)), time))
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.ZSTD, "chunk_size": 500},
        {"compression": CompressionType.LZ4, "chunk_size": 500},
        {"compression": CompressionType.NONE, "chunk_size": 500},
        {"use_chunking": False},
        {"index_types": IndexType.NONE, "chunk_size": 500},
        {"index_types": IndexType.CHUNK, "chunk_size": 500},
        {"use_statistics": False, "repeat_channels": False, "repeat_schemas": False},
        {"use_summary_offsets": False, "enable_crcs": False},
    ],
    ids=str,
)
def test_any_mcap_replays_whoever_wrote_it(tmp_path: Path, options: dict[str, Any]) -> None:
    recording = open_recording(foreign(tmp_path / "a.mcap", rows_of_three(), **options))
    assert recording.damage == []
    assert recording.alignment is None
    assert recording.cuts is None
    assert {name: about.packets for name, about in recording.streams.items()} == {"notes": 40, "camera": 40, "mic": 40}
    assert recording.streams["mic"].last == START + 39 * SECOND
    assert texts(recording) == [f"line {number}" for number in range(40)]
    assert [event.payload[0, 1] for event in events(recording, "mic")] == list(range(40))  # type: ignore[union-attr,index]
    assert [event.timestamp for event in events(recording, "camera")] == [START + n * SECOND for n in range(40)]  # type: ignore[union-attr]


def test_a_stream_comes_in_order_of_arrival_even_where_the_file_is_shuffled(tmp_path: Path) -> None:
    """Event times go back and forth and stay so; log times decide, across chunks."""
    numbers = [*range(20, 40), *range(20)]
    rows = [("notes", WORDS, "protobuf", note(str(n), START - n), START - n) for n in numbers]
    path = foreign(tmp_path / "a.mcap", rows, log_times=[START + n for n in numbers], chunk_size=300)
    assert texts(open_recording(path)) == [str(n) for n in range(40)]


def test_json_messages_replay_too(tmp_path: Path) -> None:
    stamp = {"sec": 1_760_000_000, "nsec": 5}
    samples = np.array([[1, -2], [3, -4]], "<i2")
    bodies = [
        ("notes", WORDS, {"timestamp": stamp, "level": 2, "message": "grüße"}),
        (
            "camera",
            PICTURE,
            {"timestamp": stamp, "frame_id": "", "format": "jpeg", "data": base64.b64encode(JPEG).decode()},
        ),
        (
            "mic",
            SOUND,
            {
                "timestamp": stamp,
                "format": "pcm-s16",
                "sample_rate": 8_000,
                "number_of_channels": 2,
                "data": base64.b64encode(samples.tobytes()).decode(),
            },
        ),
        ("mic", SOUND, {"timestamp": "noon"}),
        ("mic", SOUND, ["a list"]),
    ]
    rows = [(topic, name, "json", json.dumps(body).encode(), START) for topic, name, body in bodies]
    recording = open_recording(foreign(tmp_path / "a.mcap", rows))
    assert events(recording, "notes") == [Packet("notes", "text", START + 5, "grüße")]
    assert events(recording, "camera") == [Packet("camera", "image", START + 5, JPEG)]
    sound, *bad = events(recording, "mic")
    assert same(sound, Packet("mic", "audio", START + 5, samples.astype(np.int16), 8_000))
    assert all(isinstance(event, Gap) for event in bad)
    assert recording.unreadable == {"mic": 2}


def test_the_message_s_own_time_wins_and_publish_time_stands_in(tmp_path: Path) -> None:
    rows = [
        ("notes", WORDS, "protobuf", note("own", START + 7), START),
        ("notes", WORDS, "protobuf", MESSAGE_TYPES[WORDS](message=b"none").SerializeToString(), START + 8),
        ("notes", WORDS, "protobuf", note("the epoch", 0), START),
    ]
    recording = open_recording(foreign(tmp_path / "a.mcap", rows))
    assert [event.timestamp for event in events(recording, "notes")] == [START + 7, START + 8, 0]  # type: ignore[union-attr]


def test_channels_of_another_kind_are_named_and_leave_the_rest_alone(tmp_path: Path) -> None:
    rows = [
        ("/tf", "foxglove.FrameTransform", "json", b"{}", START),
        ("/video", "foxglove.CompressedVideo", "protobuf", b"", START),
        ("/cdr", WORDS, "cdr", b"", START),
        ("notes", WORDS, "protobuf", note("here"), START),
        ("notes", PICTURE, "protobuf", b"", START),
    ]
    recording = open_recording(foreign(tmp_path / "a.mcap", rows))
    assert list(recording.streams) == ["notes"]
    assert texts(recording) == ["here"]
    assert sorted(recording.ignored) == ["/cdr", "/tf", "/video", "notes (channel 5)"]
    assert "foxglove.CompressedVideo" in recording.ignored["/video"]


def png(width: int = 8, height: int = 6) -> bytes:
    import cv2

    done, data = cv2.imencode(".png", np.full((height, width, 3), 200, np.uint8))
    assert done
    return data.tobytes()


def picture(data: bytes, named: bytes) -> bytes:
    return MESSAGE_TYPES[PICTURE](data=data, format=named).SerializeToString()


def test_png_becomes_jpeg_and_what_is_no_picture_is_told(tmp_path: Path) -> None:
    huge = png()[:16] + (20_000).to_bytes(4, "big") * 2 + png()[24:]
    none = png()[:16] + (0).to_bytes(4, "big") * 2 + png()[24:]
    datas = [
        (png(), b"png"),
        (JPEG, b""),
        (b"no jpeg at all", b"jpeg"),
        (b"RIFF", b"webp"),
        (huge, b"png"),
        (none, b"png"),
        (png()[:40], b"png"),
    ]
    rows = [("camera", PICTURE, "protobuf", picture(data, named), START + n) for n, (data, named) in enumerate(datas)]
    recording = open_recording(foreign(tmp_path / "a.mcap", rows))
    first, second, broken, *gaps = events(recording, "camera")
    assert isinstance(first, Packet)
    assert isinstance(first.payload, bytes)
    assert first.payload.startswith(b"\xff\xd8\xff")
    assert second.payload == JPEG  # type: ignore[union-attr]
    assert broken.payload == b"no jpeg at all"  # type: ignore[union-attr] # the mind says so, and the moment shows it
    reasons = [gap.reason for gap in gaps if isinstance(gap, Gap)]
    assert len(reasons) == len(gaps) == recording.unreadable["camera"] == 4
    assert [
        part in reason for part, reason in zip(("webp", "20000×20000", "0×0", "decoded"), reasons, strict=True)
    ] == [True] * 4


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": b"pcm-s16", "data": b"\x01\x00\xff\xff"}, [1, -1]),
        ({"format": b"pcm-u8", "data": b"\x80\x00\xff"}, [0, -32768, 32512]),
        ({"format": b"pcm-s32", "data": np.array([1 << 16, -(1 << 31)], "<i4").tobytes()}, [1, -32768]),
        ({"format": b"pcm-f32", "data": np.array([0.5, -2.0, 1.0], "<f4").tobytes()}, [16384, -32768, 32767]),
        ({"format": b"pcm-f32", "data": np.array([np.nan], "<f4").tobytes()}, "not numbers"),
        ({"format": b"pcm-s16", "data": b"\x01\x00\xff"}, "no whole number of samples"),
        ({"format": b"opus", "data": b"\x01\x00"}, "none of pcm-s16"),
        ({"format": b"pcm-s16", "data": b"\x01\x00", "sample_rate": 0}, "samples per second"),
        ({"format": b"pcm-s16", "data": b"\x01\x00", "number_of_channels": 0}, "channels"),
    ],
    ids=str,
)
def test_sound_becomes_int16_or_says_why_not(tmp_path: Path, fields: dict[str, Any], expected: list[int] | str) -> None:
    message = MESSAGE_TYPES[SOUND](**({"sample_rate": 16_000, "number_of_channels": 1} | fields))
    rows = [("mic", SOUND, "protobuf", message.SerializeToString(), START)]
    [event] = events(open_recording(foreign(tmp_path / "a.mcap", rows)), "mic")
    if isinstance(expected, str):
        assert isinstance(event, Gap)
        assert expected in event.reason
    else:
        assert isinstance(event, Packet)
        assert event.payload[:, 0].tolist() == expected  # type: ignore[union-attr,call-overload]
        assert event.payload.dtype == np.int16  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [{}, {"use_chunking": False}, {"compression": CompressionType.ZSTD}, {"compression": CompressionType.LZ4}],
    ids=str,
)
def test_what_is_too_large_or_broken_costs_only_itself(tmp_path: Path, options: dict[str, Any]) -> None:
    """The large text lies in one chunk with its neighbours: they are kept, and it is never held."""
    limits = Limits(text_bytes=1_000)
    rows = [
        ("notes", WORDS, "protobuf", note("before"), START),
        ("notes", WORDS, "protobuf", note("x" * 3_000_000), START + 1),
        ("other", WORDS, "protobuf", note("beside"), START),
        ("notes", WORDS, "protobuf", note("y" * 1_001), START + 2),
        ("notes", WORDS, "protobuf", b"\xff\xff\xff", START + 3),
        ("notes", WORDS, "protobuf", MESSAGE_TYPES[WORDS](message=b"caf\xe9").SerializeToString(), START + 4),
    ]
    recording = open_recording(foreign(tmp_path / "a.mcap", rows, **options), limits=limits)
    before, large, long, broken, letter = events(recording, "notes")
    assert [before.payload, letter.payload] == ["before", "caf\ufffd"]  # type: ignore[union-attr]
    assert [(gap.start, gap.end) for gap in (large, long, broken) if isinstance(gap, Gap)] == [
        (START + n, START + n + 1) for n in (1, 2, 3)
    ]
    assert "over the limit" in large.reason and "over the limit" in long.reason and WORDS in broken.reason  # type: ignore[union-attr]
    assert texts(recording, "other") == ["beside"]
    assert recording.damage == []


# --- files that are broken


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF....AVI ", b"\x89MCAP1\r\n" + b"\0" * 100])
def test_a_file_that_is_no_mcap_says_what_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.mcap.*(empty|begins with)"):
        open_recording(path)


def test_a_missing_file_and_a_missing_stream_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"gone\.mcap cannot be read: No such file"):
        open_recording(tmp_path / "gone.mcap")
    path = recorded(tmp_path, [Packet("notes", "text", START, "a")])
    with pytest.raises(RecordingError, match="its streams: notes"):
        open_recording(path).source("camera")


THREE = [
    event
    for n in range(60)
    for event in (
        Packet("notes", "text", START + n * SECOND, f"line {n}"),
        Packet("camera", "image", START + n * SECOND, JPEG + bytes([n]) * 40),
        Packet("mic", "audio", START + n * SECOND, np.full((20, 1), n, np.int16), 16_000),
    )
]


def chunk_starts(data: bytes) -> list[int]:
    starts, at = [], 8
    while at + 9 <= len(data):
        if data[at] == 6:
            starts.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    return starts


def survey(path: Path, data: bytes) -> tuple[dict[str, list[Event]], list[str]]:
    path.write_bytes(data)
    recording = open_recording(path)
    return {stream: events(recording, stream) for stream in recording.streams}, recording.damage


def packets_of(found: dict[str, list[Event]]) -> list[Packet]:
    return [event for stream in found.values() for event in stream if isinstance(event, Packet)]


def test_a_file_cut_anywhere_keeps_every_whole_chunk_of_every_stream(tmp_path: Path) -> None:
    whole = recorded(tmp_path, THREE, chunk=1_000).read_bytes()
    edges = [*chunk_starts(whole), len(whole)]
    expected = dict.fromkeys(range(len(edges)), 0)
    for number, edge in enumerate(edges):
        for cut in {max(edge - 1, 8), edge, min(edge + 1, len(whole) - 1)}:
            found, damage = survey(tmp_path / "cut.mcap", whole[:cut])
            packets = packets_of(found)
            if cut < len(whole) - 8:  # behind it lies the closing magic alone
                assert len(damage) == 1
                assert "cut.mcap at byte" in damage[0]
            assert all(any(same(packet, item) for item in THREE) for packet in packets)
            expected[number] = max(expected[number], len(packets))
    assert list(expected.values()) == sorted(expected.values())
    assert expected[len(edges) - 1] == len(THREE)


def test_one_broken_chunk_costs_that_chunk_and_its_streams_say_so(tmp_path: Path) -> None:
    path = recorded(tmp_path, THREE, chunk=1_000)
    whole = path.read_bytes()
    starts = chunk_starts(whole)
    broken = bytearray(whole)
    broken[starts[2] + 80] ^= 0x10
    found, damage = survey(path, bytes(broken))
    assert len(damage) == 1
    assert f"at byte {starts[2]} has a chunk that is lost" in damage[0]
    assert len(THREE) - 60 < len(packets_of(found)) < len(THREE)
    for stream in ("notes", "camera", "mic"):
        [gap] = [event for event in found[stream] if isinstance(event, Gap)]
        at = found[stream].index(gap)
        before, after = found[stream][at - 1], found[stream][at + 1]
        assert (gap.start, gap.end) == (before.end, after.timestamp)  # type: ignore[union-attr]
    for number in range(5):  # the length of the chunk itself, without an index to look it up
        lengthless = bytearray(whole[: starts[-1]])
        lengthless[starts[1] + 1 + number] ^= 0x41
        found, damage = survey(path, bytes(lengthless))
        assert damage
        assert len(packets_of(found)) > len(THREE) * 0.6


def test_a_killed_recording_whose_first_chunk_is_lost_still_knows_its_streams(tmp_path: Path) -> None:
    path = recorded(tmp_path, THREE, chunk=1_000, close=False)
    content = bytearray(path.read_bytes())
    content[chunk_starts(bytes(content))[0] + 60] ^= 0x10
    found, damage = survey(path, bytes(content))
    assert sorted(found) == ["camera", "mic", "notes"]
    assert len(packets_of(found)) > len(THREE) - 30
    assert len(damage) == 2


def test_a_refused_packet_stays_refused_behind_a_lost_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = RecordingWriter(file, chunk_bytes=200)
        for number in range(60):
            writer.write(Packet("notes", "text", START + number, f"line {number}"), START + number)
        writer.refused("notes", 51, START + 60)
        writer.close()
    whole = bytearray(path.read_bytes())
    assert "line 50" not in texts(open_recording(path))
    whole[chunk_starts(bytes(whole))[2] + 70] ^= 0x10
    path.write_bytes(whole)
    recording = open_recording(path)
    found = texts(recording)
    assert recording.damage
    assert len(found) < 59
    assert "line 50" not in found
    assert "line 49" in found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_ends_in_anything_but_a_clear_error_or_a_report(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = bytearray(_fuzz_files(folder)[data.draw(st.integers(0, 3))])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    try:
        found, _ = survey(folder / "fuzzed.mcap", bytes(whole[:cut]))
    except RecordingError as error:
        assert "fuzzed.mcap" in str(error)
    else:
        assert all(event.stream in found for stream in found.values() for event in stream)


_FUZZ: list[bytes] = []


def _fuzz_files(folder: Path) -> list[bytes]:
    if not _FUZZ:
        rows = rows_of_three()[:30]
        _FUZZ.append(recorded(folder, THREE[:60], chunk=700).read_bytes())
        _FUZZ.append(recorded(folder, THREE[:60], chunk=700, close=False).read_bytes())
        _FUZZ.append(foreign(folder / "b.mcap", rows, use_chunking=False).read_bytes())
        _FUZZ.append(foreign(folder / "c.mcap", rows, compression=CompressionType.LZ4, chunk_size=500).read_bytes())
    return _FUZZ


def test_a_chunk_that_unpacks_without_end_is_stopped(tmp_path: Path) -> None:
    import zstandard

    bomb = zstandard.compress(b"\x80" + (2**28).to_bytes(8, "little") + bytes(2**28))
    body = (
        START.to_bytes(8, "little") * 2
        + (100).to_bytes(8, "little")
        + bytes(4)
        + b"\x04\0\0\0zstd"
        + len(bomb).to_bytes(8, "little")
        + bomb
    )
    file = io.BytesIO(b"\x89MCAP0\r\n\x06" + len(body).to_bytes(8, "little") + body)
    found, damage = survey(tmp_path / "bomb.mcap", file.getvalue())
    assert found == {}
    assert "more than it declares" in damage[0]
