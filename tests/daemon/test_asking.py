"""A search must say at once what it cannot do, read any WAV a person has, and show why a hit is one."""

from __future__ import annotations

import wave
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from daemon import cli
from daemon.cli import _answer, _show
from daemon.sound import LONGEST, read_sound
from pipelines.errors import QuestionError
from pipelines.hits import Answer, Hit, Reason

SECOND = 1_000_000_000


def write_wave(path: Path, samples: bytes, *, width: int, channels: int = 1, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return path


@pytest.mark.parametrize(("width", "raw"), [
    (1, bytes([0, 128, 255])),
    (2, np.array([-32768, 0, 32512], "<i2").tobytes()),
    (3, b"\x11\x00\x80" + b"\x00\x00\x00" + b"\x99\x00\x7f"),
    (4, np.array([-(2**31), 0, 32512 << 16], "<i4").tobytes()),
])
def test_a_wav_of_any_width_is_the_same_sound(tmp_path: Path, width: int, raw: bytes) -> None:
    samples, rate = read_sound(write_wave(tmp_path / "a.wav", raw, width=width))
    assert (samples.dtype, samples.shape, rate) == (np.int16, (3, 1), 8000)
    assert samples[:, 0].tolist() == [-32768, 0, 32512]


def test_channels_stay_apart(tmp_path: Path) -> None:
    raw = np.array([[1, -1], [2, -2]], "<i2").tobytes()
    samples, _ = read_sound(write_wave(tmp_path / "a.wav", raw, width=2, channels=2))
    assert samples.tolist() == [[1, -1], [2, -2]]


def test_a_question_that_is_no_sound_says_so(tmp_path: Path) -> None:
    with pytest.raises(QuestionError, match="holds no sound"):
        read_sound(write_wave(tmp_path / "empty.wav", b"", width=2))
    long = write_wave(tmp_path / "long.wav", bytes(int(LONGEST + 1) * 100), width=1, rate=100)
    with pytest.raises(QuestionError, match="longer than 60 s"):
        read_sound(long)
    text = tmp_path / "words.wav"
    text.write_text("not a sound")
    with pytest.raises(QuestionError, match=r"cannot be read as sound|no plain WAV"):
        read_sound(text)
    with pytest.raises(FileNotFoundError):
        read_sound(tmp_path / "absent.wav")


def test_a_sound_that_only_a_library_reads_is_the_sound(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="pip install 'sensorium[media]'")
    tone = (np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * 20_000).astype(np.int16)
    path = tmp_path / "tone.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None, :], format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    samples, rate = read_sound(path)
    assert rate == 48_000
    assert np.array_equal(samples[:, 0], tone)


def shown(answer: Answer, width: int = 100) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False).print(_answer.cards(answer))
    return out.getvalue()


def test_a_hit_shows_when_how_long_how_sure_and_why() -> None:
    reasons = (
        Reason("mic.hall", "audio", 0.91, 0.4, (("Dog", 0.8), ("Bark", 0.7)), None, None),
        Reason("notes", "text", 0.9, 0.9, (), "the [dog] barks", None),
    )
    hit = Hit(1_000 * SECOND, 1_006 * SECOND, ("mic.hall", "notes"), 0.91, reasons, ("a", "b"), "a")
    text = shown(Answer("match", (hit,), 0.91))
    for part in ("6.0 s", "91%", "mic.hall, notes", "2 moments", "heard on mic.hall: Dog 0.80", "the [dog] barks"):
        assert part in text
    assert _show.when(1_000 * SECOND) in text


def test_no_hit_is_an_answer_with_a_way_on() -> None:
    text = shown(Answer("outside vocabulary", hint="try other words"))
    assert text == "Outside the vocabulary: try other words\n"
    assert shown(Answer("no confident match")) == "No confident match\n"


def test_a_bar_is_as_long_as_the_share_it_shows() -> None:
    assert [_show.bar(share, 4).rstrip() for share in (-1, 0, 0.125, 0.5, 1, 2)] == ["", "", "▌", "██", "████", "████"]
    assert {len(_show.bar(share / 97)) for share in range(98)} == {10}


@pytest.mark.parametrize(("args", "code", "said"), [
    (["dog"], 1, "no store"),
    (["sean:dog"], 1, "did you mean seen:"),
    (["dog", "--since", "yesterdayish"], 1, "is no time"),
    (["dog", "-k", "0"], 2, "-k"),
    (["--image", "absent.jpg"], 1, "absent.jpg: No such file or directory"),
    (["dog", "--threshold", "2"], 2, "--threshold"),
])
def test_what_cannot_be_answered_is_said_before_any_model_is_fetched(
    *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    args: list[str], code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path / "models"))
    assert cli.call(["search", *args, "--store", str(tmp_path / "store"), "--json"]) == code
    out, err = capsys.readouterr()
    assert said in err and out == ""
    assert not (tmp_path / "models").exists()
