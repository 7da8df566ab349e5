"""The recording that comes with the program: what the demo would fail to show if these failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.recording.replay import Recording, open_recording
from daemon import bundled
from daemon.config import load
from multimodal.errors import ModelMissingError
from pipelines.packet import SECOND, Bound, Event, Gap, Packet
from pipelines.window import Window, Windower

CAMERA, MICROPHONE, NOTES = "camera.demo", "mic.demo", "notes"
SCENES = 7
SCENE = 5 * SECOND


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with bundled.recording() as found:
        yield found


@pytest.fixture(scope="module")
def recording(path: Path) -> Recording:
    return open_recording(path)


@lru_cache(maxsize=1)
def events(path: Path) -> dict[str, list[Event]]:
    """Everything in the recording, by stream, in its order."""

    async def read(recording: Recording, stream: str) -> list[Event]:
        return [event async for event in recording.source(stream).events()]

    recording = open_recording(path)
    return {stream: asyncio.run(read(recording, stream)) for stream in recording.streams}


def packets(path: Path, stream: str) -> list[Packet]:
    return [event for event in events(path)[stream] if isinstance(event, Packet)]


def test_it_is_small_whole_and_long_enough(path: Path, recording: Recording) -> None:
    """Lost otherwise: a wheel that is too large, or a demo that is over at once."""
    assert path.stat().st_size < 3_000_000
    assert {stream: found.modality for stream, found in recording.streams.items()} == {
        CAMERA: "image", MICROPHONE: "audio", NOTES: "text"}  # fmt: skip
    sound = packets(path, MICROPHONE)
    assert sound[-1].end - sound[0].timestamp == SCENES * SCENE >= 30 * SECOND
    assert len(packets(path, NOTES)) >= 5
    assert recording.damage == [] and recording.ignored == {}


def test_the_camera_freezes_once(path: Path) -> None:
    """Lost otherwise: nobody sees what a frozen camera looks like."""
    pictures = sorted(packets(path, CAMERA), key=lambda packet: packet.timestamp)
    start = pictures[0].timestamp // SECOND * SECOND
    first_of: dict[Any, int] = {}
    longest = 0
    for packet in pictures:
        longest = max(longest, packet.timestamp - first_of.setdefault(packet.payload, packet.timestamp))
    assert 2 * SECOND < longest < 3 * SECOND
    assert len(first_of) > 0.85 * len(pictures)
    assert {(packet.timestamp - start) // SCENE for packet in pictures} == set(range(SCENES))


def test_one_stretch_is_silent(path: Path) -> None:
    """Lost otherwise: nothing shows that silence is told from a sound."""
    whole = np.concatenate([np.asarray(packet.payload)[:, 0] for packet in packets(path, MICROPHONE)])
    by_scene = whole.reshape(SCENES, -1)
    assert [bool(scene.any()) for scene in by_scene] == [True, True, True, True, False, True, True]


def test_pictures_come_out_of_order_and_too_late(path: Path, recording: Recording) -> None:
    """Lost otherwise: the rule of bounded disorder is never seen at work."""
    times = [packet.timestamp for packet in packets(path, CAMERA)]
    assert times != sorted(times)
    windower = replayed(recording)
    for event in by_time(path):
        push(windower, event)
    counters = windower.counters[CAMERA]
    assert counters.late == 2 and counters.received == counters.admitted + counters.late + counters.refused


def test_a_cut_of_the_live_run_is_repeated(path: Path, recording: Recording) -> None:
    """Lost otherwise: the moments of the replay are not those of the run, and the hung camera leaves no trace."""
    assert any(CAMERA in cut.missing for cut in recording.cuts or ())
    assert any(isinstance(event, Gap) and "hung" in event.reason for event in events(path)[CAMERA])
    windows = run(recording, by_time(path))
    poorer = [window for window in windows if window.revision == 0 and not window.complete and CAMERA in window.gaps]
    assert poorer
    filled = [window for window in windows if window.revision == 1]
    assert filled
    for window in filled:
        first = next(w for w in windows if w.id == window.id and w.revision == 0)
        assert len(window.packets[CAMERA]) > len(first.packets[CAMERA])


def test_the_same_windows_come_in_whatever_order_the_streams_are_read(path: Path, recording: Recording) -> None:
    """Lost otherwise: the demo tells another story on every machine."""
    expected = content(run(recording, by_time(path)))
    for seed in range(3):
        dice = random.Random(seed)
        left = {stream: list(reversed(found)) for stream, found in events(path).items()}
        mixed = []
        while left:
            stream = dice.choice(sorted(left))
            mixed.append(left[stream].pop())
            if not left[stream]:
                del left[stream]
        assert content(run(recording, mixed)) == expected


def test_whose_it_is_lies_beside_it(path: Path) -> None:
    """Lost otherwise: the licences of the pictures, which ask for their authors' names, are broken."""
    text = path.with_name("ATTRIBUTION.md").read_text(encoding="utf-8")
    pictures = ("Michetti", "van der Walt", "David Brodbeck", "Aaron Logan", "Necrophorus", "Evan-Amos", "Kmanoj")
    for author in (*pictures, "davidworksonline", "hullum", "mika55"):
        assert author in text
    assert "NC" not in text and "BY-SA" not in text


SEEN = ("a cup of coffee", "a cat", "a dam", "a panda", "a goldfish", "a hammer", "a crocodile")
HEARD = ("a telephone ringing", "a crow", "running water", "drums", None, "a smoke alarm", "someone speaking")
ABSENT = ("seen:a helicopter", "seen:a pizza", "seen:a dog", "heard:a violin", "heard:a dog barking", "heard:a helicopter")
NONSENSE = ("xyzzy flurb", "asdfgh", "quarterly tax report", "the smell of lavender")


@pytest.fixture(scope="module")
def search(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from daemon.mind import open_mind
    from daemon.replaying import replay
    from daemon.searching import open_search

    folder = tmp_path_factory.mktemp("store")
    config = load(Path("/dev/null"), flags={"store": {"path": folder}}, environ={})
    try:
        with open_mind(config) as mind:
            replay(config, open_recording(path), mind)
            with open_search(config, mind=mind) as found:
                yield found
    except ModelMissingError as missing:
        pytest.skip(str(missing))


def scene_of(answer: Any) -> int:
    """In which scene the middle of the first hit lies."""
    start = 1_760_000_000 * SECOND
    hit = answer.hits[0]
    return int(((hit.start + hit.end) // 2 - start) // SCENE)


@pytest.mark.models
@pytest.mark.parametrize(
    ("question", "scene"),
    [(f"seen:{words}", i) for i, words in enumerate(SEEN)]
    + [(f"heard:{words}", i) for i, words in enumerate(HEARD) if words],
)
def test_each_scene_is_found_by_picture_alone_and_by_sound_alone(search: Any, question: str, scene: int) -> None:
    """Lost otherwise: the demo's searches find nothing, or the wrong thing."""
    answer = search.ask(question.replace(":", ':"') + '"', now=0)
    assert answer.verdict == "match", answer
    assert answer.hits[0].confidence >= 0.5
    assert scene_of(answer) == scene


@pytest.mark.models
@pytest.mark.parametrize("question", ABSENT)
def test_what_is_not_there_is_not_found(search: Any, question: str) -> None:
    """Lost otherwise: a search that always finds something, which nobody can trust."""
    assert search.ask(question.replace(":", ':"') + '"', now=0).verdict == "no confident match"


@pytest.mark.models
@pytest.mark.parametrize("question", NONSENSE)
def test_nonsense_is_not_found(search: Any, question: str) -> None:
    """Lost otherwise: the same."""
    assert search.ask(question, now=0).verdict in {"no confident match", "outside vocabulary"}


def by_time(path: Path) -> list[Event]:
    found = [event for stream in events(path).values() for event in stream]
    positions = {id(event): i for stream in events(path).values() for i, event in enumerate(stream)}
    order: dict[int, tuple[int, int]] = {}
    for stream in events(path).values():
        highest = 0
        for event in stream:
            highest = max(highest, event.start if isinstance(event, Gap) else event.timestamp)
            order[id(event)] = (highest, positions[id(event)])
    return sorted(found, key=lambda event: order[id(event)])


def replayed(recording: Recording) -> Windower:
    alignment = recording.alignment
    assert alignment is not None and recording.cuts
    return Windower(
        length=alignment.length, hop=alignment.hop, streams=alignment.streams, group=alignment.group,
        lateness=alignment.lateness, cuts=recording.cuts)  # fmt: skip


def push(windower: Windower, event: Event) -> list[Window]:
    if isinstance(event, Packet):
        return windower.push(event, 0)
    if isinstance(event, Bound):
        return windower.advance(event.stream, event.timestamp, 0)
    return windower.gap(event, 0)


def run(recording: Recording, mixed: list[Event]) -> list[Window]:
    windower = replayed(recording)
    return [window for event in mixed for window in push(windower, event)] + windower.close()


def content(windows: list[Window]) -> set[tuple[Any, ...]]:
    """Every window and revision, as far as a body shows it."""
    found = set()
    for w in windows:
        packets = tuple(sorted((s, tuple((p.timestamp, p.end) for p in row)) for s, row in w.packets.items()))
        found.add((w.id, w.revision, w.complete, packets, tuple(sorted((s, row) for s, row in w.gaps.items()))))
    return found
