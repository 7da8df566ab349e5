"""What a user would lose: a recording that tells the truth about the live run it was made of."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from live import REGISTRY, Schedule, Step, random_schedule, told, watch, watch_again
from scenes import START, bodies, chunks, jpeg, noise

from connectors.recording.replay import open_recording
from daemon import build
from daemon.config import Align, Config, Sink, Store, Stream
from daemon.config.tree import Channel
from daemon.registry import Component, Registry
from daemon.replaying import replay, with_sinks
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, SECOND, Bound, Packet
from pipelines.testing import SettableClock, SmallMind

BOTH = Registry([Component("sink", "jsonl", "connectors.sinks.jsonl:JsonlSink")])


def both(seed: int) -> None:
    async def compare(recording: Path) -> None:
        live, group = await watch(random_schedule(seed), recording)
        again, _ = await watch_again(recording)
        assert told(again) == told(live)
        for channel in group.channels.values():
            counts = channel.counts
            assert counts.received == counts.sent + counts.dropped.total() + channel.in_flight
        for intake in group.windower.counters.values():
            assert intake.received == intake.admitted + intake.late + intake.refused

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(asyncio.wait_for(compare(Path(folder) / "live.mcap"), 60))


@pytest.mark.soak
@settings(max_examples=400 if os.environ.get("SENSORIUM_SOAK") else 10, deadline=None)
@given(st.integers(0, 2**32))
@example(12)
@example(17)
def test_a_recorded_live_run_replays_as_it_was(seed: int) -> None:
    """Whatever happened: streams that freeze, fail, end, are absent; drops, refusals, cuts, a stop, broken packets."""
    both(seed)


def test_the_random_runs_contain_what_they_are_about(tmp_path: Path) -> None:
    """Complete and incomplete windows, revisions, drops, late and refused packets."""
    seen: set[object] = set()

    async def look(seed: int) -> None:
        windows, group = await watch(random_schedule(seed), tmp_path / f"{seed}.mcap")
        seen.update((window.complete, window.revision) for window in windows)
        for channel in group.channels.values():
            seen.update(channel.counts.dropped)
        for counts in group.windower.counters.values():
            seen.update({"late"} if counts.late else ())
            seen.update({"refused"} if counts.refused else ())

    for seed in range(12):
        asyncio.run(look(seed))
    wanted = {(True, 0), (False, 0), (False, 1), (True, 1), "full", "superseded", "late", "refused"}
    assert wanted <= seen


def story() -> Schedule:
    """Ten seconds: the camera freezes in between, a second one is not there, one note is late, one from tomorrow."""
    arriving: list[tuple[int, str, Step]] = [(START, "attic", SourceError("attic: there is no /dev/video7"))]
    for n in range(50):
        time = START + n * SECOND // 5
        if not 20 <= n < 35:
            arriving.append((time + 30 * MILLISECOND, "camera", Packet("camera", "image", time, jpeg(n), None, n)))
        arriving.append((time + 10 * MILLISECOND, "pulse", Bound("pulse", time)))
    for n, chunk in enumerate(chunks(noise(10, 8_000), 8_000, 100 * MILLISECOND)):
        arriving.append((chunk.end + 20 * MILLISECOND, "mic", replace(chunk, sequence=n)))
    for n, (seconds, said) in enumerate([(1.5, 1.5), (2.5, 2.5), (3.0, 1.0), (5.5, 5.4), (6.0, 90_000.0), (8.0, 7.9)]):
        text = Packet("notes", "text", START + round(said * SECOND), f"said at {said}", None, n)
        arriving.append((START + round(seconds * SECOND), "notes", text))
    arriving.sort(key=lambda item: item[0])
    streams = {
        name: Stream(type="scripted", channel=Channel(items=8), options={"overflow": "drop_oldest"})
        for name in ("attic", "camera", "mic", "notes", "pulse")
    }
    streams["notes"] = replace(streams["notes"], bound=2500 * MILLISECOND)
    align = Align(lateness=3 * SECOND, idle_after=SECOND, deadline=SECOND // 2)
    return Schedule([(when, stream, step, 8) for when, stream, step in arriving], align, streams)


async def test_the_bodies_of_a_live_run_and_of_its_replay_are_the_same(tmp_path: Path) -> None:
    """Through the store and a sink, `complete` and revisions included; a camera freezes, another one was never there."""
    schedule, recording = story(), tmp_path / "live.mcap"
    schedule.prepare()
    clock = SettableClock(START)
    config = replace(
        schedule.config(recording),
        store=Store(path=tmp_path / "live", thumbnails=False),
        sinks={"out": Sink(type="jsonl", options={"path": tmp_path / "live.jsonl"})},
    )
    with (
        build.configured(config, clock=clock, registry=REGISTRY) as group,
        build.pipeline(config, group, SmallMind(), clock=clock, registry=BOTH) as pipeline,
    ):
        directing = asyncio.create_task(schedule.direct(group, clock))
        assert await pipeline.run()
        await directing
    assert group.failed == {"attic": "attic: there is no /dev/video7"}
    again = with_sinks(
        Config(store=Store(path=tmp_path / "again", thumbnails=False)), (f"jsonl:{tmp_path / 'again.jsonl'}",)
    )
    outcome = await asyncio.to_thread(replay, again, open_recording(recording), SmallMind())
    assert outcome.troubles == []
    lines = (tmp_path / "live.jsonl").read_bytes().splitlines()
    # A revision may come sooner in the replay, which waits for nobody; the revisions of one moment keep their order.
    assert sorted((tmp_path / "again.jsonl").read_bytes().splitlines()) == sorted(lines)

    documents = bodies(lines)
    assert {document["complete"] for document in documents} == {False}  # the attic was never there
    watching = [d for d in documents if d["end"] < START + 9 * SECOND]
    assert {gap["reason"] for d in watching for gap in d["gaps"]["attic"]} == {"idle"}
    frozen = [d for d in documents if any(g["reason"] == "idle" for g in d["gaps"].get("camera", []))]
    assert {d["start"] for d in frozen} >= {START + 5 * SECOND}
    assert {d["revision"] for d in documents} == {0, 1}
    assert outcome.refused["notes"] == 1
    said = [text for d in documents for text in d["streams"].get("notes", {}).get("text", [])]
    assert "said at 1.0" in said
    assert "said at 90000.0" not in said


@pytest.mark.parametrize("stopped", [True, False])
async def test_the_end_of_a_live_run_is_told_as_it_was(tmp_path: Path, stopped: bool) -> None:
    """Stopped in the middle, the last moments are incomplete; at the end of all sources they are whole."""
    streams = {name: Stream(type="scripted", options={"overflow": "drop_oldest"}) for name in ("camera", "notes")}
    steps: list[tuple[int, str, Step, int]] = [
        (START + n * SECOND // 5, "camera", Packet("camera", "image", START + n * SECOND // 5, jpeg(n)), 6) for n in range(13)
    ]
    steps.append((START + 2 * SECOND, "notes", Packet("notes", "text", START + 2 * SECOND, "here"), 6))
    steps.sort(key=lambda step: step[0])
    if not stopped:
        steps += [(START + 3 * SECOND, name, None, 6) for name in streams]
    schedule = Schedule(steps, Align(), streams, stopped=stopped)
    live, _ = await watch(schedule, tmp_path / "a.mcap")
    again, _ = await watch_again(tmp_path / "a.mcap")
    assert told(again) == told(live)
    last = max(live, key=lambda window: window.start)
    assert last.complete is not stopped
    reasons = {gap.reason for gaps in last.gaps.values() for gap in gaps}
    assert reasons == ({"stopped"} if stopped else set())
