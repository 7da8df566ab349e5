"""What a user would lose: the same recording, the same bytes, however it comes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import (
    START,
    bodies,
    chunks,
    interleaved,
    noise,
    replayed,
    scene,
    without_counts,
    write_recording,
)

from connectors.recording.schema import Alignment
from pipelines.packet import MILLISECOND, SECOND, Event, Gap, Packet
from pipelines.protocols import Mind
from pipelines.select import select
from pipelines.watermark import StreamTime
from pipelines.window import Windower

CHUNKS = (7, 93, 1000)


def test_twice_the_same_bytes(tmp_path: Path) -> None:
    """Into two stores, and into one: what is stored already is stored and delivered once."""
    path = write_recording(tmp_path / "a.mcap", scene())
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, outcome = replayed(path, tmp_path / "one")
    assert replayed(path, tmp_path / "two")[0] == first
    assert (outcome.moments, outcome.stored, len(first)) == (13, 13, 13)
    again, outcome = replayed(path, tmp_path / "one")
    assert (outcome.moments, outcome.stored) == (13, 0)
    assert again == first
    assert [d["start"] for d in bodies(first)] == [START + n * SECOND for n in range(-1, 12)]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), bound=st.sampled_from([0, SECOND]))
def test_the_streams_may_be_thrown_together_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int, bound: int
) -> None:
    folder = tmp_path_factory.mktemp("interleaved")
    dice = random.Random(seed)
    streams = scene(6)
    streams["camera"] = disordered(streams["camera"], dice)
    streams["notes"].insert(1, Gap("notes", START + SECOND, START + 3 * SECOND, "away"))
    alignment = Alignment(2 * SECOND, SECOND, {name: StreamTime(bound=bound) for name in streams})
    said = []
    for number, order in enumerate((None, dice, dice)):
        (folder / str(number)).mkdir()
        path = write_recording(folder / f"{number}.mcap", streams, dice=order, alignment=alignment)
        said.append(replayed(path, folder / str(number))[0])
    assert said[0] == said[1] == said[2]
    assert said[0]


def disordered(events: list[Event], dice: random.Random) -> list[Event]:
    """A few of them later than their neighbours."""
    return sorted(events, key=lambda event: event.timestamp + dice.choice([0, 0, 0, 400]) * MILLISECOND)  # type: ignore[union-attr]


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("offset", [0, 11_337, 22_675, 170_068, 123_456_789])
def test_sound_may_be_chunked_as_it_likes(tmp_path: Path, rate: int, offset: int) -> None:
    """Its beginning at some offset from the windows' edges: also where an edge is half a sample from a sample."""
    streams = scene(5)
    samples = noise(5, rate, channels=2)
    said = []
    for chunk in CHUNKS:
        (tmp_path / str(chunk)).mkdir()
        sound = chunks(samples, rate, chunk * MILLISECOND, start=START - offset)
        path = write_recording(tmp_path / f"{chunk}.mcap", {**streams, "mic": sound})
        said.append(without_counts(replayed(path, tmp_path / str(chunk))[0]))
    assert said[0] == said[1] == said[2]
    assert len(said[0]) >= 5


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]), seed=st.integers(0, 2**32))
def test_what_the_mind_hears_does_not_follow_the_chunks(rate: int, seed: int) -> None:
    """Chunks of any lengths, their times floored, the beginning anywhere: every window's sound is the same."""
    dice = random.Random(seed)
    samples = noise(3, rate, seed=seed % 7)
    half = SECOND // 2 // rate
    edge = dice.randrange(3 * rate) * SECOND // rate  # a sample that an edge may fall on, or half a sample from it
    start = START - edge - dice.choice([0, half, dice.randrange(SECOND)]) + dice.choice([-1, 0, 0, 1])
    heard = []
    for most in (1, 7, 93, 1000):
        windower = Windower(length=2 * SECOND, hop=SECOND, streams=["mic"])
        windows, at = [], 0
        while at < len(samples):
            size = max(1, dice.randrange(most * rate // 1000 + 1) + (most == 1) * 40)
            part = Packet("mic", "audio", start + at * SECOND // rate, samples[at : at + size], rate)
            windows += windower.push(part, 0)
            at += size
        windows += windower.close("mic")
        heard.append([(w.start, [p.payload.tobytes() for p in select(w)["mic"]]) for w in windows])  # type: ignore[union-attr]
    assert heard[0] == heard[1] == heard[2] == heard[3]


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_change_nothing(tmp_path: Path, batch: int) -> None:
    path = write_recording(tmp_path / "a.mcap", scene())
    (tmp_path / "other").mkdir()
    assert replayed(path, tmp_path, batch=32)[0] == replayed(path, tmp_path / "other", batch=batch)[0]


@pytest.mark.models
def test_the_real_mind_gives_the_same_bytes_in_any_batch_order_and_chunking(tmp_path: Path, mind: Mind) -> None:
    streams = scene(6)
    rough = {**streams, "mic": chunks(noise(6, 44_100), 44_100, 93 * MILLISECOND)}
    fine = {**streams, "mic": chunks(noise(6, 44_100), 44_100, 7 * MILLISECOND)}
    said = []
    for number, (batch, scenery, dice) in enumerate([(32, rough, None), (3, rough, random.Random(3)), (1, fine, None)]):
        (tmp_path / str(number)).mkdir()
        path = write_recording(tmp_path / f"{number}.mcap", scenery, dice=dice)
        said.append(replayed(path, tmp_path / str(number), mind=mind, batch=batch)[0])
    assert said[0] == said[1]
    assert without_counts(said[1]) == without_counts(said[2])
    assert any(stream["labels"] for document in bodies(said[0]) for stream in document["streams"].values())


def test_the_scene_holds_what_these_tests_need() -> None:
    """Otherwise they would prove nothing."""
    events = list(interleaved(scene()))
    assert {event.modality for event in events if isinstance(event, Packet)} == {"image", "audio", "text"}
    sound = np.concatenate([e.payload for e in scene()["mic"]])  # type: ignore[union-attr]
    assert len(np.unique(sound)) > 1000
    assert replace(events[0]) == events[0]
