"""A sound file as the question of a search: int16 samples of shape (samples, channels) and their rate."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import QuestionError

LONGEST = 60.0
"""Seconds a question may last: it is one vector, and a minute of sound is no longer one thing."""


def read_sound(path: Path) -> tuple[NDArray[np.int16], int]:
    """WAV without any library, everything else through PyAV. Raises QuestionError, OSError where it is not there."""
    path.stat()
    try:
        with wave.open(str(path), "rb") as file:
            return _from_wave(path, file)
    except (wave.Error, EOFError):
        return _through_av(path)


def _from_wave(path: Path, file: wave.Wave_read) -> tuple[NDArray[np.int16], int]:
    rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
    if rate < 1 or channels < 1:
        raise QuestionError(f"{path}: its header names {rate} samples a second on {channels} channels")
    _check_length(path, file.getnframes() / rate)
    raw = np.frombuffer(file.readframes(file.getnframes()), np.uint8)
    frame = channels * width
    raw = raw[: len(raw) // frame * frame].reshape(-1, width)  # (samples * channels, bytes of one)
    if width == 1:  # unsigned: as the high byte of 16 bits, its sign flipped
        raw = np.column_stack([np.zeros_like(raw), raw ^ 0x80])
    samples = np.ascontiguousarray(raw[:, -2:]).view("<i2")  # little-endian: the two highest bytes are it at 16 bits
    return _checked(path, samples.astype(np.int16).reshape(-1, channels), rate)


def _through_av(path: Path) -> tuple[NDArray[np.int16], int]:
    try:
        import av
    except ModuleNotFoundError as error:
        raise QuestionError(
            f"{path} is no plain WAV file; to read others: pip install 'sensorium[media]', or convert it to WAV"
        ) from error
    blocks: list[NDArray[np.int16]] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise QuestionError(f"{path} has no sound track")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            to_int16 = av.AudioResampler(format="s16", layout=stream.layout.name, rate=rate)
            samples = 0
            for frame in container.decode(stream):
                for part in to_int16.resample(frame):
                    packed = part.to_ndarray().astype(np.int16, copy=False)  # (1, samples * channels)
                    blocks.append(packed.reshape(-1, stream.channels))
                    samples += len(blocks[-1])
                    _check_length(path, samples / rate)
    except av.error.FFmpegError as error:
        raise QuestionError(f"{path} cannot be read as sound: {error.strerror}") from error
    joined = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.int16)
    return _checked(path, joined, rate)


def _check_length(path: Path, seconds: float) -> None:
    if seconds > LONGEST:
        raise QuestionError(f"{path} is longer than {LONGEST:.0f} s; cut out the part that is meant")


def _checked(path: Path, samples: NDArray[np.int16], rate: int) -> tuple[NDArray[np.int16], int]:
    if not len(samples):
        raise QuestionError(f"{path} holds no sound")
    return samples, rate
