"""What a user would lose to one bad packet: nothing of the other streams, and nothing of the run."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import START, RawRecording, bodies, interleaved, jpeg, part, replayed, scene

from connectors.recording.codec import encode
from pipelines.group import Group
from pipelines.moment import Moment
from pipelines.packet import MILLISECOND, SECOND, Bound, Gap, Packet
from pipelines.protocols import Mind
from pipelines.runner import Runner
from pipelines.testing import SettableClock, SmallMind
from pipelines.window import Windower

SECONDS = 6
FAR = {
    "zero": 0, "negative": -1, "very negative": -(2**62), "2^62": 2**62, "2^63 - 1": 2**63 - 1, "2^63": 2**63,
    "lowest": -(2**63), "beyond": -(2**63) - 1, "a day ahead": 1_760_086_400 * SECOND, "equal": None,
}  # fmt: skip


def sized(height: int, width: int) -> bytes:
    """A real JPEG whose frame header says another size."""
    data = bytearray(jpeg(1))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


PICTURES = {
    "empty": b"", "no JPEG": b"this is no picture at all", "0x0": sized(0, 0), "0x48": sized(0, 48),
    "20000x20000": sized(20_000, 20_000), "65535x65535": sized(65_535, 65_535), "truncated": jpeg(1)[: len(jpeg(1)) // 2],
    "header only": jpeg(1)[:20], "two bytes": b"\xff\xd8", "lengths of zero": b"\xff\xd8" + b"\xff\xe0\0\0" * 50,
    "flipped": bytes(b ^ 0x55 if n > 200 and n % 7 == 0 else b for n, b in enumerate(jpeg(1))),
    "only markers": b"\xff\xd8" + b"\xff" * 5000,
}  # fmt: skip
SOUNDS: dict[str, dict[str, Any]] = {
    "odd bytes": {"data": b"\1\2\3"}, "no samples": {"data": b""}, "rate 0": {"sample_rate": 0},
    "rate 1": {"sample_rate": 1}, "rate 10^9": {"sample_rate": 10**9}, "rate 999": {"sample_rate": 999},
    "rate 768000": {"sample_rate": 768_000}, "no channel": {"number_of_channels": 0},
    "4000 channels": {"number_of_channels": 4000}, "64 channels": {"number_of_channels": 64, "data": bytes(6400)},
    "33 channels": {"number_of_channels": 33, "data": bytes(6600)},
    "float": {"format": b"pcm-f32", "data": np.array([np.nan, np.inf, 1e30], "<f4").tobytes()},
    "one sample": {"data": b"\1\2"}, "unknown": {"format": b"opus"},
}  # fmt: skip
TEXTS = {
    "empty": b"", "blanks": b" \t\n", "no UTF-8": b"\xff\xfe caf\xe9 \xc3", "surrogate": b"\xed\xa0\x80 lone",
    "NUL": b"a\0b\0", "escapes": b"\x1b[2J\x1b]0;x\x07", "long": b"word" * 200_000, "too long": b"x" * (2**20 + 1),
    "line feeds": b"a\nb\r\nc\xe2\x80\xa8d", "quotes": b'"; DROP TABLE moments; --',
}  # fmt: skip


def poisons() -> Iterator[Any]:
    """(stream, fields or bytes, time or None for where it stands), named."""
    for name, data in PICTURES.items():
        yield pytest.param("camera", {"data": data, "format": b"jpeg"}, None, id=f"picture {name}")
    for name, fields in SOUNDS.items():
        whole = {"data": bytes(3200), "format": b"pcm-s16", "sample_rate": 16_000, "number_of_channels": 1} | fields
        yield pytest.param("mic", whole, None, id=f"sound {name}")
    for name, data in TEXTS.items():
        yield pytest.param("notes", {"message": data}, None, id=f"text {name}")
    for stream, fields in (("camera", {"data": jpeg(3), "format": b"jpeg"}), ("notes", {"message": b"when?"})):
        for name, time in FAR.items():
            yield pytest.param(stream, fields, time, id=f"{stream} at {name}")
    for name in ("2^62", "beyond", "zero"):
        whole = {"data": bytes(3200), "format": b"pcm-s16", "sample_rate": 16_000, "number_of_channels": 1}
        yield pytest.param("mic", whole, FAR[name], id=f"mic at {name}")
    for stream in ("camera", "mic", "notes"):
        yield pytest.param(stream, b"\xff\xff\xff no protobuf", None, id=f"{stream} no protobuf")


MODALITY = {"camera": "image", "mic": "audio", "notes": "text"}


def record(path: Path, poison: Callable[[RawRecording, int], None] = lambda raw, time: None) -> Path:
    """The scene as somebody else's program writes it, `poison` being called between its messages now and then."""
    raw = RawRecording(path)
    for number, event in enumerate(interleaved(scene(SECONDS))):
        assert isinstance(event, Packet)
        raw.add(event.stream, event.modality, encode(event), event.timestamp)
        if number % 15 == 5:
            poison(raw, event.timestamp + 3 * MILLISECOND)
    raw.close()
    return path


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("clean")
    lines, outcome = replayed(record(folder / "clean.mcap"), folder)
    assert outcome.troubles == []
    return bodies(lines)


def the_others_are_unchanged(found: list[dict[str, Any]], clean: list[dict[str, Any]], poisoned: str) -> None:
    for stream in MODALITY.keys() - {poisoned}:
        assert part(found, stream) == part(clean, stream), stream
    windows = {d["start"] for d in clean if d["streams"].keys() - {poisoned}}
    kept = [d for d in found if d["start"] in windows]
    assert len(kept) == len(windows)
    assert all(d["complete"] and d["revision"] == 0 and not d["gaps"].keys() - {poisoned} for d in kept)


@pytest.mark.parametrize(("stream", "fields", "time"), list(poisons()))
def test_a_poisoned_stream_leaves_the_others_as_they_were(
    tmp_path: Path, clean: list[dict[str, Any]], stream: str, fields: Any, time: int | None
) -> None:
    def poison(raw: RawRecording, now: int) -> None:
        raw.add(stream, MODALITY[stream], fields, now if time is None else time)

    path = record(tmp_path / "poisoned.mcap", poison)
    lines, _ = replayed(path, tmp_path, thumbnails=True)
    the_others_are_unchanged(bodies(lines), clean, stream)
    (tmp_path / "again").mkdir()
    assert replayed(path, tmp_path / "again", batch=1)[0] == lines


@pytest.mark.models
def test_the_real_mind_says_what_it_cannot_read_and_reads_the_rest(tmp_path: Path, mind: Mind) -> None:
    """Every poison at once, in turn, on every stream: each stream's good half is understood as in the clean recording."""
    (tmp_path / "clean").mkdir()
    clean, _ = replayed(record(tmp_path / "clean.mcap"), tmp_path / "clean", mind=mind, thumbnails=True)
    for poisoned in MODALITY:
        bad = [p.values for p in poisons() if p.values[0] == poisoned and p.values[2] is None]
        turn = iter(bad * 100)

        def poison(raw: RawRecording, now: int, turn: Iterator[Any] = turn) -> None:
            stream, fields, _ = next(turn)
            raw.add(stream, MODALITY[stream], fields, now)

        (tmp_path / poisoned).mkdir()
        path = record(tmp_path / f"{poisoned}.mcap", poison)
        lines, _ = replayed(path, tmp_path / poisoned, mind=mind, thumbnails=True)
        the_others_are_unchanged(bodies(lines), bodies(clean), poisoned)
        errors = [e for d in bodies(lines) for e in d["streams"].get(poisoned, {}).get("errors", [])]
        gaps = [g["reason"] for d in bodies(lines) for g in d["gaps"].get(poisoned, [])]
        assert errors or any(reason.startswith("unreadable") for reason in gaps) or poisoned == "notes"


MALFORMED: dict[str, Callable[[str, int], Any]] = {
    "NaN": lambda s, t: Packet(s, "audio", t, np.full((800, 1), np.nan), 16_000),  # type: ignore[arg-type]
    "flat sound": lambda s, t: Packet(s, "audio", t, np.zeros(800, np.int16), 16_000),
    "no samples": lambda s, t: Packet(s, "audio", t, np.zeros((0, 1), np.int16), 16_000),
    "no rate": lambda s, t: Packet(s, "audio", t, np.zeros((800, 1), np.int16)),
    "rate 0": lambda s, t: Packet(s, "audio", t, np.zeros((800, 1), np.int16), 0),
    "rate 10^9": lambda s, t: Packet(s, "audio", t, np.zeros((800, 1), np.int16), 10**9),
    "rate 1.5": lambda s, t: Packet(s, "audio", t, np.zeros((800, 1), np.int16), 16_000.5),  # type: ignore[arg-type]
    "picture as text": lambda s, t: Packet(s, "image", t, "no bytes"),
    "picture of a gigabyte": lambda s, t: Packet(s, "image", t, bytes(33 * 2**20)),
    "none": lambda s, t: Packet(s, "text", t, None),  # type: ignore[arg-type]
    "text of a gigabyte": lambda s, t: Packet(s, "text", t, "x" * (2**20 + 1)),
    "many bytes a letter": lambda s, t: Packet(s, "text", t, "\u20ac" * 2**19),
    "surrogate": lambda s, t: Packet(s, "text", t, "half \ud800 of a pair"),
    "smell": lambda s, t: Packet(s, "smell", t, b"roses"),  # type: ignore[arg-type]
    "beyond": lambda s, t: Packet(s, "text", 2**70, "when?"),
    "far gap": lambda s, t: Gap(s, 2**70, 2**70 + 1, "when?"),
    "numpy time": lambda s, t: Packet(s, "text", np.int64(t), "when?"),  # type: ignore[arg-type]
    "no time": lambda s, t: Bound(s, None),  # type: ignore[arg-type]
    "another stream": lambda s, t: Packet("mic", "text", t, "not mine"),
    "no event": lambda s, t: {"time": t},
    "nothing": lambda s, t: None,
    "error": lambda s, t: ZeroDivisionError("a source of whatever quality"),
}


class Given:
    """A source of somebody else's, which checks nothing."""

    overflow = "block"

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    async def events(self) -> AsyncGenerator[Any, None]:
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield item


async def understood(streams: Mapping[str, list[Any]]) -> list[Moment]:
    """Moments of sources that give what they were given, by event time."""
    moments: list[Moment] = []

    async def keep(items: AsyncIterator[tuple[Any, Moment]]) -> AsyncGenerator[Moment, None]:
        async for _, moment in items:
            moments.append(moment)
            yield moment

    group = Group(
        sources={name: Given(items) for name, items in streams.items()},  # type: ignore[misc]
        windower=Windower(length=2 * SECOND, hop=SECOND, streams=streams.keys()),
        clock=SettableClock(START),
        live=False,
    )
    await asyncio.wait_for(Runner(group=group, mind=SmallMind(), keep=keep).run(), 30)
    return moments


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_source_that_gives_anything_at_all_costs_only_itself(what: str) -> None:
    streams: dict[str, list[Any]] = {name: list(events) for name, events in scene(4).items()}
    clean = [json.loads(moment.body(0)) for moment in await understood({**streams, "other": []})]
    good = [Packet("other", "text", START + n * SECOND // 2, f"fine {n}") for n in range(8)]
    spoiled: list[Any] = [*good[:3], MALFORMED[what]("other", START + SECOND), *good[3:]]
    found = [json.loads(moment.body(0)) for moment in await understood({**streams, "other": spoiled})]
    assert len(found) == len(clean) == 5
    for stream in streams:
        assert part(found, stream) == part(clean, stream)
    said = {text for document in found for text in document["streams"].get("other", {}).get("text", [])}
    assert said >= {packet.payload for packet in good[:3]}
    ends = {"numpy time", "no time", "another stream", "no event", "nothing", "error"}
    assert (packet_after := good[5].payload) in said or what in ends, packet_after
