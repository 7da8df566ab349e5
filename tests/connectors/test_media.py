"""What a user would lose: picture and sound of a file on one time line, and what is left of a broken file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from connectors.sources import _media_cv
from connectors.sources.media import MediaFile
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, SECOND, Event, Gap, Packet
from pipelines.testing.source_contract import check_source

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'sensorium[media]'")

START = 1_760_000_000 * SECOND
FPS = 10


def clip(
    path: Path, *, seconds: float = 2.0, rate: int = 16_000, channels: int = 1, hole: bool = False, late: float = 0.0
) -> Path:
    """Picture n is as bright as 10·n, the sound a ramp; both begin at `late` seconds. Matroska: MJPEG and raw int16."""
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("mjpeg", rate=FPS, width=64, height=48, pix_fmt="yuvj420p")
        audio = out.add_stream("pcm_s16le", rate=rate, layout="mono" if channels == 1 else "stereo")
        block = rate // FPS
        for number in range(int(seconds * FPS)):
            at = number + round(late * FPS)
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10 % 250, np.uint8), format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, FPS)
            out.mux(video.encode(frame))
            if hole and 5 <= number < 10:
                continue
            wave = (np.arange(block * channels) + number * block * channels).astype(np.int16).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(wave, format="s16", layout=audio.layout.name)
            sound.sample_rate, sound.pts, sound.time_base = rate, at * block, Fraction(1, rate)
            out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


async def read(source: MediaFile) -> list[Event]:
    return [event async for event in source.events()]


def brightness(event: Event) -> int:
    import cv2

    assert isinstance(event, Packet)
    return round(float(cv2.imdecode(np.frombuffer(event.payload, np.uint8), cv2.IMREAD_COLOR).mean()))  # type: ignore[call-overload]


async def test_pictures_come_at_their_own_time_as_jpeg(tmp_path: Path) -> None:
    events = await read(MediaFile("clip", path=clip(tmp_path / "a.mkv"), start=START))
    assert [event.timestamp for event in events] == [START + n * 100 * MILLISECOND for n in range(20)]  # type: ignore[union-attr]
    assert [brightness(event) for event in events] == pytest.approx([n * 10 for n in range(20)], abs=2)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (48_000, 2)])
async def test_sound_is_stamped_by_the_sample_and_not_one_is_lost(tmp_path: Path, rate: int, channels: int) -> None:
    path = clip(tmp_path / "a.mkv", rate=rate, channels=channels)
    events = await read(MediaFile("clip", path=path, track="audio", start=START, packet=93 * MILLISECOND))
    packets = [event for event in events if isinstance(event, Packet)]
    assert len(packets) == len(events)
    whole = np.concatenate([packet.payload for packet in packets])
    assert whole.shape == (2 * rate, channels)
    np.testing.assert_array_equal(whole.reshape(-1), np.arange(2 * rate * channels).astype(np.int16))
    size = 93 * rate // 1_000
    assert [packet.timestamp for packet in packets] == [START + n * size * SECOND // rate for n in range(len(packets))]
    assert {len(packet.payload) for packet in packets[:-1]} == {size}


async def test_a_hole_in_the_sound_is_a_gap_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    events = await read(MediaFile("clip", path=clip(tmp_path / "a.mkv", hole=True), track="audio", start=START))
    [gap] = [event for event in events if isinstance(event, Gap)]
    assert (gap.start, gap.end) == (START + SECOND // 2, START + SECOND)
    after = events[events.index(gap) + 1]
    assert isinstance(after, Packet)
    assert (after.timestamp, after.payload[0, 0]) == (START + SECOND, 16_000)  # type: ignore[index]


async def test_fps_thins_by_event_time(tmp_path: Path) -> None:
    events = await read(MediaFile("clip", path=clip(tmp_path / "a.mkv"), start=START, fps=2.0))
    assert [event.timestamp - START for event in events] == [n * SECOND // 2 for n in range(4)]  # type: ignore[union-attr]


async def test_picture_and_sound_of_a_file_that_begins_late_stay_together(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", late=1.4)
    first = [
        (await read(MediaFile("clip", path=path, track=track, start="2026-01-01T00:00:00Z")))[0]
        for track in ("video", "audio")
    ]  # type: ignore[arg-type]
    assert {event.timestamp for event in first} == {1_767_225_600 * SECOND}  # type: ignore[union-attr]


async def test_a_film_without_pyav_gives_the_same_pictures(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv")
    through_av = await read(MediaFile("clip", path=path, start=START))
    through_cv = [event for batch in _media_cv.pictures("clip", path, START, None, 90) for event in batch]
    assert [event.timestamp for event in through_cv] == [event.timestamp for event in through_av]  # type: ignore[union-attr]
    assert [brightness(event) for event in through_cv] == pytest.approx(
        [brightness(event) for event in through_av], abs=2
    )
    with pytest.raises(SourceError, match="no video that can be read"):
        next(_media_cv.pictures("clip", Path(__file__), START, None, 90))


async def test_a_film_that_is_cut_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    whole = clip(tmp_path / "a.mkv", seconds=6).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    for track in ("video", "audio"):
        got: list[Event] = []
        with pytest.raises(SourceError, match=r"clip: .*cut\.mkv is (cut off: it ends at 2|damaged)"):
            async for event in MediaFile("clip", path=path, track=track).events():  # type: ignore[arg-type]
                got.append(event)  # noqa: PERF401
        assert len(got) >= 20


async def test_broken_bytes_cost_only_their_pictures(tmp_path: Path) -> None:
    content = bytearray(clip(tmp_path / "a.mkv", seconds=4).read_bytes())
    at = content.index(b"\xff\xd8\xff", len(content) // 2)
    content[at : at + 600] = b"\0" * 600
    path = tmp_path / "broken.mkv"
    path.write_bytes(content)
    got: list[Event] = []
    try:
        async for event in MediaFile("clip", path=path).events():
            got.append(event)  # noqa: PERF401
    except SourceError as error:
        assert "broken.mkv is damaged" in str(error)
    assert len(got) >= 35


@pytest.mark.parametrize("content", [b"", b"this is no film", b"RIFF\0\0\0\0AVI LIST"])
async def test_what_is_no_film_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip: .*no\.mp4 (is no media file|has no)"):
        await read(MediaFile("clip", path=path))
    with pytest.raises(SourceError, match=r"gone\.mp4 is not there"):
        await read(MediaFile("clip", path=tmp_path / "gone.mp4"))


async def test_a_file_without_the_asked_track_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        audio = out.add_stream("pcm_s16le", rate=8_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8_000
        out.mux(audio.encode(frame))
    with pytest.raises(SourceError, match=r"a\.wav has no video track"):
        await read(MediaFile("clip", path=path))
    [sound] = await read(MediaFile("clip", path=path, track="audio", start=START))
    assert (sound.timestamp, sound.rate, sound.payload.shape) == (START, 8_000, (800, 1))  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [{"fps": -1.0}, {"quality": 101}, {"packet": 0}, {"start": "noon"}])
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(SourceError, match=f"clip: `{next(iter(options))}`"):
        MediaFile("clip", path=tmp_path / "a.mkv", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("track", ["video", "audio"])
async def test_the_media_source_keeps_the_contract(tmp_path: Path, track: str) -> None:
    path = clip(tmp_path / "a.mkv")
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(path.read_bytes()[:30_000])
    await check_source(
        lambda: MediaFile("clip", path=path, track=track),  # type: ignore[arg-type]
        faulty=lambda: MediaFile("clip", path=broken, track=track),  # type: ignore[arg-type]
    )
