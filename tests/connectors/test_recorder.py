"""What a user would lose: the recording itself - in order, whole, and still there after a kill or a full disk."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from connectors.recording.codec import Unreadable, encode
from connectors.recording.messages import MESSAGE_TYPES, PICTURE, SOUND, WORDS, descriptor_set
from connectors.recording.recorder import Recorder
from connectors.recording.replay import open_recording
from connectors.recording.schema import Alignment
from connectors.recording.writer import RecordingWriter
from pipelines.errors import RecordingError
from pipelines.packet import SECOND, Bound, Gap, Packet
from pipelines.testing import ScriptedSource, SettableClock
from pipelines.watermark import StreamTime
from pipelines.windowing.cut import Cut

JPEG = b"\xff\xd8\xff\xe0 not a real picture, but the recorder does not look \xff\xd9"
START = 1_760_000_000 * SECOND


def picture(second: float, stream: str = "camera") -> Packet:
    return Packet(stream, "image", START + int(second * SECOND), JPEG)


def words(second: float, text: str = "tea is ready", stream: str = "notes") -> Packet:
    return Packet(stream, "text", START + int(second * SECOND), text)


def sound(second: float, samples: int = 1600, channels: int = 2) -> Packet:
    wave = np.arange(samples * channels, dtype=np.int16).reshape(samples, channels)
    return Packet("mic", "audio", START + int(second * SECOND), wave, 16_000)


async def record(path: Path, items: list, **options: object) -> list:
    async with Recorder(path, clock=SettableClock(START), **options) as recorder:
        return [item async for item in recorder.tap(ScriptedSource(items).events())]


def replayed(path: Path, stream: str) -> list:
    return [event for batch in open_recording(path).source(stream).batches() for event in batch]


async def test_what_passes_the_tap_is_handed_on_unchanged_and_in_order(tmp_path: Path) -> None:
    items = [
        picture(0),
        words(0.5),
        Bound("notes", START),
        sound(0),
        Gap("camera", START, START + 9, "unplugged"),
        picture(1),
    ]
    passed = await record(tmp_path / "a.mcap", items)
    assert all(one is other for one, other in zip(passed, items, strict=True))


async def test_other_tools_see_standard_messages_in_the_order_of_arrival(tmp_path: Path) -> None:
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
    from foxglove_schemas_protobuf.Log_pb2 import Log
    from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio

    path = tmp_path / "a.mcap"
    await record(path, [picture(3), sound(1), words(2), Bound("notes", START)])
    with path.open("rb") as file:
        rows = list(make_reader(file, validate_crcs=True).iter_messages())
    assert [channel.topic for _, channel, _ in rows] == ["camera", "mic", "notes", "/sensorium/bound"]
    log_times = [message.log_time for *_, message in rows]
    assert log_times == sorted(set(log_times))
    assert [message.publish_time for *_, message in rows[:3]] == [START + n * SECOND for n in (3, 1, 2)]
    image, audio, log = (
        kind.FromString(row[2].data) for kind, row in zip((CompressedImage, RawAudio, Log), rows, strict=False)
    )
    assert (image.format, image.data) == ("jpeg", JPEG)
    assert (audio.format, audio.sample_rate, audio.number_of_channels) == ("pcm-s16", 16_000, 2)
    assert audio.data == sound(1).payload.tobytes()
    assert (log.message, log.timestamp.ToNanoseconds()) == ("tea is ready", START + 2 * SECOND)


@pytest.mark.parametrize("name", [PICTURE, SOUND, WORDS])
def test_our_descriptors_are_those_of_the_published_package(name: str) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    module = __import__(f"foxglove_schemas_protobuf.{name.split('.')[1]}_pb2", fromlist=["x"])
    published = {
        (field.name, field.number, field.type, field.json_name)
        for field in module.DESCRIPTOR.message_types_by_name[name.split(".")[1]].fields
    }
    timestamp, ours = FileDescriptorSet.FromString(descriptor_set(name)).file
    assert timestamp.name == "google/protobuf/timestamp.proto"
    assert ours.name == module.DESCRIPTOR.name
    assert {
        (field.name, field.number, field.type, field.json_name) for field in ours.message_type[0].field
    } == published


def test_a_text_with_a_broken_letter_is_kept_by_our_reader_of_words() -> None:
    message = MESSAGE_TYPES[WORDS](message=b"caf\xe9")
    assert MESSAGE_TYPES[WORDS].FromString(message.SerializeToString()).message == b"caf\xe9"


@pytest.mark.parametrize("timestamp", [0, -1, -(10**18), 2**62, 2**63, 2**64 + 5, 10**27])
async def test_an_absurd_time_is_recorded_as_it_is(tmp_path: Path, timestamp: int) -> None:
    path = tmp_path / "a.mcap"
    await record(path, [Packet("notes", "text", timestamp, "when?"), words(1)])
    assert [packet.timestamp for packet in replayed(path, "notes")] == [timestamp, START + SECOND]


async def test_the_alignment_the_cuts_and_the_refusals_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    alignment = Alignment(
        length=2 * SECOND,
        hop=SECOND,
        streams={
            "camera": StreamTime(bound=5, idle_after=7),
            "speech": StreamTime(holds=False),
            "absent": StreamTime(),
        },
        group="hall",
        lateness=3,
        opened=START,
        modalities={"absent": "image"},
        counts={"camera": 12},
        exact=False,
    )
    cut = Cut(start=START, revision=1, through={"camera": 3, "absent": 0}, missing={"absent": "idle"})
    async with Recorder(
        path, clock=SettableClock(START), alignment=alignment, modalities={"camera": "image"}
    ) as recorder:
        for item in (picture(0), picture(1), picture(2)):
            recorder.put(item)
        recorder.refused("camera", 2)
        recorder.cut(cut)
    recording = open_recording(path)
    assert recording.alignment is not None
    assert recording.alignment.modalities == {"absent": "image", "camera": "image"}
    assert recording.alignment.to_metadata() | {"modalities": ""} == alignment.to_metadata() | {"modalities": ""}
    assert recording.cuts == (cut,)
    assert recording.refused == {"camera": frozenset({2})}
    assert [packet.timestamp for packet in replayed(path, "camera")] == [START, START + 2 * SECOND]
    assert (recording.streams["absent"].modality, recording.streams["absent"].packets) == ("image", 0)
    assert replayed(path, "absent") == []
    assert not recording.exact
    assert recording.damage == []


async def test_a_payload_in_no_canonical_form_is_reported_and_the_rest_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    said: list[RecordingError] = []
    poison = Packet("mic", "audio", START, np.full((10, 1), np.nan), 16_000)  # type: ignore[arg-type]
    passed = await record(path, [picture(0), poison, picture(1)], on_error=said.append)
    assert len(passed) == 3
    assert len(said) == 1
    assert "no canonical payload of modality audio" in str(said[0])
    assert len(replayed(path, "camera")) == 2


async def test_a_refusal_names_the_packet_that_was_meant_behind_one_that_could_not_be_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    poison = Packet("mic", "audio", START, np.full((10, 1), np.nan), 16_000)  # type: ignore[arg-type]
    async with Recorder(path, clock=SettableClock(START)) as recorder:
        for item in (sound(0), poison, sound(1), sound(2), sound(3)):
            recorder.put(item)
        recorder.refused("mic", 2)
        recorder.refused("mic", 4)
    assert [packet.timestamp for packet in replayed(path, "mic")] == [START + n * SECOND for n in (0, 1, 3)]


@pytest.mark.parametrize(
    "payload",
    [np.zeros(10, np.int16), np.zeros((10, 1), np.float32), b"bytes", "text"],
)
def test_only_int16_samples_by_channels_are_sound(payload: object) -> None:
    with pytest.raises(Unreadable):
        encode(Packet("mic", "audio", 0, payload, 16_000))  # type: ignore[arg-type]


class FullDisk(io.BytesIO):
    """Takes `room` bytes and then says what a full disk says."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: object, /) -> int:
        self._room -= len(data)  # type: ignore[arg-type]
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def test_what_was_flushed_before_the_disk_was_full_can_be_replayed(tmp_path: Path) -> None:
    disk = FullDisk(20_000)
    writer = RecordingWriter(disk, chunk_bytes=2_000)
    random = np.random.default_rng(1)
    with pytest.raises(OSError, match="No space left"):
        for number in range(1_000):
            noise = random.integers(-9_000, 9_000, (200, 1)).astype(np.int16)
            writer.write(Packet("mic", "audio", START + number, noise, 16_000), START + number)
    path = tmp_path / "full.mcap"
    path.write_bytes(disk.getvalue())
    assert len(replayed(path, "mic")) > 20
    assert open_recording(path).damage


async def test_a_full_disk_stops_the_recording_and_not_the_stream(tmp_path: Path) -> None:
    """A file-size limit of the process stands for the disk: the kernel refuses the write in the same way."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.mcap"
    said: list[RecordingError] = []
    random = np.random.default_rng(1)
    noise = [random.integers(-9_000, 9_000, (16_000, 1)).astype(np.int16) for _ in range(40)]
    items = [Packet("mic", "audio", START + n * SECOND, samples, 16_000) for n, samples in enumerate(noise)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        recorder = Recorder(
            path, clock=SettableClock(START), on_error=said.append, chunk_bytes=50_000, pending_bytes=100_000
        )
        passed = [item async for item in recorder.tap(ScriptedSource(items).events())]
        await recorder.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(passed) == len(items)
    assert recorder.error is not None
    assert said == [recorder.error]
    assert "has stopped" in str(recorder.error)
    assert not path.exists()
    part = path.with_name("a.mcap.part")
    kept = [event for batch in open_recording(part).source("mic").batches() for event in batch]
    assert len(kept) + recorder.lost >= len(items)
    assert 5 < len(kept) < len(items)
    for packet, item in zip(kept, items, strict=False):
        np.testing.assert_array_equal(packet.payload, item.payload)


KILLED = """
import os, signal, sys
from connectors.recording.recorder import Recorder
from pipelines.packet import Packet
from pipelines.testing import SettableClock
recorder = Recorder(sys.argv[1], clock=SettableClock(5))
for number in range(300):
    recorder.put(Packet("notes", "text", number, f"line {number}"))
recorder.flush()
recorder.put(Packet("notes", "text", 300, "lost"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_recorder_leaves_all_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    texts = [event.payload for event in replayed(path.with_name("a.mcap.part"), "notes")]
    assert texts[:300] == [f"line {number}" for number in range(300)]
    assert "without a footer" in open_recording(path.with_name("a.mcap.part")).damage[0]


async def test_an_older_recording_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    await record(path, [picture(0)])
    with pytest.raises(RecordingError, match="choose another name"):
        Recorder(path, clock=SettableClock())
    cut_short = tmp_path / "b.mcap.part"
    cut_short.write_bytes(b"from a killed run")
    with pytest.raises(RecordingError, match=r"b\.mcap\.part"):
        Recorder(tmp_path / "b.mcap", clock=SettableClock())
    with pytest.raises(RecordingError, match="nowhere"):
        Recorder(tmp_path / "nowhere" / "c.mcap", clock=SettableClock())


async def test_the_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = Recorder(path, clock=SettableClock(START))
    recorder.put(picture(0))
    recorder.flush()
    assert not path.exists()
    recorder.close()
    recorder.close()
    assert path.exists()
    assert not path.with_name("a.mcap.part").exists()
    recorder.put(picture(1))
    assert recorder.lost == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "recorder"]


async def test_a_slow_disk_holds_the_stream_back_instead_of_filling_memory(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mcap", clock=SettableClock(START), pending_bytes=1)
    most = 0
    async for _ in recorder.tap(ScriptedSource([picture(n) for n in range(200)]).events()):
        most = max(most, recorder.pending)
    await recorder.aclose()
    assert most <= 1 + len(JPEG)
    assert len(replayed(tmp_path / "a.mcap", "camera")) == 200
