"""Tracks of a media file through PyAV."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from connectors.sources._jpeg import MAX_PIXELS, Pace, to_jpeg
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, SECOND, Event, Gap, Packet

_HOLE = 20 * MILLISECOND
_TELL_DURATION = frozenset({"mov", "mp4", "matroska", "webm", "avi", "wav", "flac"})


def pictures(
    stream: str, path: Path, start: int, fps: float | None, quality: int
) -> Generator[Sequence[Event], None, None]:
    """One picture a step. Raises SourceError, at the end where the file is damaged."""
    with _opened(stream, path, "video") as track:
        codec = track.stream.codec_context
        if codec.width * codec.height > MAX_PIXELS:
            raise SourceError(
                f"{stream}: {path} has pictures of {codec.width}×{codec.height}; {MAX_PIXELS} pixels are the limit"
            )
        track.stream.thread_type = "AUTO"
        pace, sent = Pace(fps), 0
        for frame, time in track.frames():
            if not pace.admits(time):
                continue
            image = frame.to_ndarray(format="bgr24")
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            if turns:
                image = np.ascontiguousarray(np.rot90(image, turns))  # the phone was held upright
            yield [Packet(stream, "image", start + time, to_jpeg(image, quality), None, sent)]
            sent += 1
        track.check()


def sound(stream: str, path: Path, start: int, packet: int) -> Generator[Sequence[Event], None, None]:
    """The packets of one frame a step. Raises SourceError, at the end where the file is damaged."""
    with _opened(stream, path, "audio") as track:
        cutter: _Cutter | None = None
        sent = 0
        for frame, time in track.frames():
            if cutter is None or not cutter.goes_on(frame, time):
                events: list[Event] = list(cutter.rest(sent)) if cutter else []
                sent += len(events)
                if cutter is not None and start + time > cutter.end:
                    events.append(Gap(stream, cutter.end, start + time, "the file has no sound here"))
                yield events
                cutter = _Cutter(stream, start + time, start, frame, packet)
            full = list(cutter.add(frame, sent))
            sent += len(full)
            yield full
        if cutter is not None:
            yield list(cutter.rest(sent))
        track.check()


class _Cutter:
    """Cuts one unbroken stretch of sound into packets of equal length, stamped by the sample."""

    def __init__(self, stream: str, anchor: int, start: int, frame: Any, packet: int) -> None:
        self._stream = stream
        self._anchor = anchor
        self._start = start
        self._rate = int(frame.sample_rate)
        self._layout = frame.layout.name
        self._channels = len(frame.layout.channels)
        self._resampler = av.AudioResampler(format="s16", layout=self._layout, rate=self._rate)
        self._samples = max(1, packet * self._rate // SECOND)
        self._held: NDArray[np.int16] = np.empty((0, self._channels), np.int16)
        self._count = 0

    @property
    def end(self) -> int:
        """Event time behind the last sample that was added."""
        return self._at(self._count + len(self._held))

    def goes_on(self, frame: Any, time: int) -> bool:
        """Whether a frame continues this stretch."""
        same = frame.sample_rate == self._rate and frame.layout.name == self._layout
        return same and abs(self._start + time - self.end) <= _HOLE

    def add(self, frame: Any, number: int) -> Iterator[Packet]:
        """Take a frame in; the packets it completes, numbered from `number`."""
        pieces = [piece.to_ndarray().reshape(-1, self._channels) for piece in self._resampler.resample(frame)]
        self._held = np.concatenate([self._held, *pieces])  # (samples, channels)
        while len(self._held) >= self._samples:
            yield self._packet(self._samples, number)
            number += 1

    def rest(self, number: int) -> Iterator[Packet]:
        if len(self._held):
            yield self._packet(len(self._held), number)

    def _packet(self, samples: int, number: int) -> Packet:
        payload, self._held = self._held[:samples].copy(), self._held[samples:]
        packet = Packet(self._stream, "audio", self._at(self._count), payload, self._rate, number)
        self._count += samples
        return packet

    def _at(self, count: int) -> int:
        return self._anchor + count * SECOND // self._rate


@contextmanager
def _opened(stream: str, path: Path, kind: str) -> Iterator[_Track]:
    try:
        with av.open(str(path)) as container:
            tracks = container.streams.video if kind == "video" else container.streams.audio
            if not tracks:
                raise SourceError(f"{stream}: {path} has no {kind} track")
            yield _Track(stream, path, container, tracks[0])
    except av.error.FFmpegError as error:
        raise SourceError(f"{stream}: {path} is no media file that can be read: {error.strerror}") from error


class _Track:
    """A track that is being decoded, and what went wrong with it."""

    def __init__(self, stream: str, path: Path, container: Any, track: Any) -> None:
        self.stream = track
        self._name = stream
        self._path = path
        self._container = container
        self._faults = 0
        self._first_fault = 0
        self._last = 0

    def frames(self) -> Iterator[tuple[Any, int]]:
        """Frames with their time since the beginning of the file, ns; pieces that cannot be decoded are passed over."""
        begin = self._begin()
        packets = self._container.demux(self.stream)
        while (packet := self._demuxed(packets)) is not None:
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._fault()
                continue
            for frame in frames:
                if frame.pts is None:
                    self._fault()
                    continue
                base = frame.time_base
                self._last = frame.pts * SECOND * base.numerator // base.denominator - begin
                yield frame, self._last

    def _begin(self) -> int:
        """When the container's time begins, ns; never below 0, where padding lies that no decoder gives out."""
        return max(0, self._container.start_time or 0) * 1_000

    def _demuxed(self, packets: Iterator[Any]) -> Any:
        try:
            return next(packets, None)
        except av.error.FFmpegError:
            self._fault()
            return None

    def _fault(self) -> None:
        self._faults += 1
        if self._faults == 1:
            self._first_fault = self._last

    def check(self) -> None:
        """Raises SourceError where less came than the file says it holds."""
        if self._faults:
            raise SourceError(
                f"{self._name}: {self._path} is damaged: {self._faults} pieces cannot be decoded, the first behind "
                f"{self._first_fault / SECOND:.2f} s; all others were read"
            )
        if self._container.duration and _TELL_DURATION & set(self._container.format.name.split(",")):
            length = self.stream.duration * self.stream.time_base if self.stream.duration else None
            expected = float(length) if length else self._container.duration / 1e6
            reached = (
                self._last + self._begin()
            ) / SECOND  # some containers count their length from 0, some from there
            if reached < expected - max(1.0, expected * 0.1):
                raise SourceError(
                    f"{self._name}: {self._path} is cut off: it ends at {reached:.2f} s of {expected:.2f} s"
                )
