"""Small recordings, and short ways through the program: what the tests of this folder share."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from connectors.recording.messages import MESSAGE_TYPES, descriptor_set
from connectors.recording.replay import open_recording
from connectors.recording.schema import SCHEMA_OF, Alignment
from connectors.recording.writer import RecordingWriter
from daemon.config import Align, Config, Store
from daemon.config import Mind as MindSettings
from daemon.replaying import Outcome, replay, with_sinks
from pipelines.packet import MILLISECOND, SECOND, Event, Gap, Packet
from pipelines.protocols import Mind
from pipelines.testing import SmallMind
from pipelines.windowing.cut import Cut

START = 1_760_000_000 * SECOND
ROOT = Path(__file__).parents[2]

Streams = Mapping[str, Sequence[Event]]


@lru_cache(maxsize=64)
def jpeg(number: int, side: int = 48) -> bytes:
    """A picture that differs from every other number's."""
    rough = np.random.default_rng(number).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    done, data = cv2.imencode(".jpg", cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC))
    assert done
    return bytes(data)


def chunks(
    samples: np.ndarray, rate: int, chunk: int, *, start: int = START, stream: str = "mic"
) -> list[Packet]:
    """Sound cut into packets of `chunk` ns, each stamped with the floor of its first sample's time."""
    size = max(1, chunk * rate // SECOND)
    return [
        Packet(stream, "audio", start + first * SECOND // rate, samples[first : first + size], rate)
        for first in range(0, len(samples), size)
    ]


def noise(seconds: float, rate: int, *, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Sound that changes its loudness and never repeats."""
    count = round(seconds * rate)
    dice = np.random.default_rng(seed)
    loud = 2000 * (1.5 + np.sin(np.arange(count) / rate * 2.1))[:, None]
    return (dice.standard_normal((count, channels)) * loud).clip(-32768, 32767).astype(np.int16)


def scene(seconds: int = 12, *, rate: int = 16_000, chunk: int = 100 * MILLISECOND) -> dict[str, list[Event]]:
    """Three streams: a camera of 5 pictures a second that freezes for a while, a microphone, notes now and then."""
    camera: list[Event] = [
        Packet("camera", "image", START + n * SECOND // 5, jpeg(n))
        for n in range(5 * seconds)
        if not seconds * 2 <= n < seconds * 3
    ]
    notes: list[Event] = [
        Packet("notes", "text", START + round(t * SECOND), f"note at {t}") for t in np.arange(0.7, seconds, 2.3).tolist()
    ]
    return {"camera": camera, "mic": list(chunks(noise(seconds, rate), rate, chunk)), "notes": notes}


def at(event: Event) -> int:
    """Where an event lies in time."""
    return event.start if isinstance(event, Gap) else event.timestamp


def interleaved(streams: Streams, dice: random.Random | None = None) -> Iterable[Event]:
    """All events, each stream in its own order: by time, or thrown together by `dice`."""
    left = {name: list(reversed(events)) for name, events in streams.items() if events}
    while left:
        name = dice.choice(sorted(left)) if dice else min(left, key=lambda n: at(left[n][-1]))
        yield left[name].pop()
        if not left[name]:
            del left[name]


def write_recording(
    path: Path,
    streams: Streams,
    *,
    dice: random.Random | None = None,
    alignment: Alignment | None = None,
    cuts: Iterable[Cut] = (),
    chunk_bytes: int = 2**15,
) -> Path:
    """A recording of `streams` by the program's own writer."""
    with path.open("wb") as file:
        writer = RecordingWriter(file, alignment=alignment, chunk_bytes=chunk_bytes)
        number = 0
        for number, event in enumerate(interleaved(streams, dice)):
            writer.write(event, START + number * MILLISECOND)
        for cut in cuts:
            writer.cut(cut, START + number * MILLISECOND)
        writer.close()
    return path


class RawRecording:
    """A recording of messages as somebody else's program might write them: (topic, modality, fields, event time)."""

    def __init__(self, path: Path) -> None:
        from mcap.writer import Writer

        self._file = path.open("wb")
        self._mcap = Writer(self._file, chunk_size=2**15)
        self._mcap.start()
        self._channels: dict[str, int] = {}
        self._now = START

    def add(self, topic: str, modality: str, fields: bytes | Mapping[str, Any], time: int) -> None:
        """One message; `fields` of the protobuf message, or its bytes. `time` None in the fields means publish time."""
        name = SCHEMA_OF[modality]  # type: ignore[index]
        if topic not in self._channels:
            schema = self._mcap.register_schema(name, "protobuf", descriptor_set(name))
            self._channels[topic] = self._mcap.register_channel(topic, "protobuf", schema)
        if not isinstance(fields, bytes):
            message = MESSAGE_TYPES[name](**fields)
            seconds, nanos = divmod(time, SECOND)
            message.timestamp.seconds, message.timestamp.nanos = seconds, nanos
            fields = message.SerializeToString()
        self._now += MILLISECOND
        self._mcap.add_message(self._channels[topic], self._now, fields, max(time, 0))

    def close(self) -> None:
        self._mcap.finish()
        self._file.close()


def configured(store: Path, *, batch: int = 32, thumbnails: bool = False, align: Align | None = None) -> Config:
    """A configuration that keeps its store in `store`."""
    return Config(
        store=Store(path=store, thumbnails=thumbnails), mind=MindSettings(batch_size=batch), align=align or Align()
    )


def replayed(
    recording: Path, folder: Path, *, mind: Mind | None = None, batch: int = 32, thumbnails: bool = False
) -> tuple[list[bytes], Outcome]:
    """Bodies and outcome of `sensorium replay RECORDING --store FOLDER/store --sink jsonl:FOLDER/out.jsonl`."""
    out = folder / "out.jsonl"
    config = with_sinks(configured(folder / "store", batch=batch, thumbnails=thumbnails), (f"jsonl:{out}",))
    outcome = replay(config, open_recording(recording), mind or SmallMind())
    return (out.read_bytes().splitlines(keepends=True) if out.exists() else []), outcome


def bodies(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """The documents of a JSONL file."""
    return [json.loads(line) for line in lines]


def part(documents: Iterable[Mapping[str, Any]], stream: str, *, counts: bool = True) -> dict[int, dict[str, Any]]:
    """What moments say of one stream, by their start; without the number of its packets unless `counts`."""
    found = {}
    for document in documents:
        said = document["streams"].get(stream)
        if said is not None:
            # what it contributes is a share of the whole, so it depends on the others
            hidden = {"contribution"} | (set() if counts else {"packets"})
            found[document["start"]] = {key: value for key, value in said.items() if key not in hidden}
    return found


def without_counts(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Documents without the numbers of packets, which follow how sound was chunked."""
    documents = bodies(lines)
    for document in documents:
        for stream in document["streams"].values():
            del stream["packets"]
    return documents


def sensorium(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = 120.0
) -> subprocess.CompletedProcess[bytes]:
    """The command, as a user calls it."""
    return subprocess.run(
        [sys.executable, "-m", "daemon", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        input=stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def on(stream: str, event: Event) -> Event:
    """The same event on another stream."""
    return replace(event, stream=stream)
