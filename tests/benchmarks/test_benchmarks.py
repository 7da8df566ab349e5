"""A benchmark that breaks or misjudges tells its reader nothing, or the wrong thing."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import measuring, speed, stream
from benchmarks.beside import program
from benchmarks.material import made as contents
from benchmarks.measuring import Figure
from connectors.recording.replay import open_recording
from daemon.config import load
from pipelines.testing import SmallMind


def test_what_is_measured_on_is_all_different():
    assert len(set(contents.pictures(8))) == 8
    assert len(set(contents.texts(100))) == 100
    sounds = contents.sounds(4)
    assert {sound.shape for sound in sounds} == {(contents.PATCH, 1)}
    assert len({sound.tobytes() for sound in sounds}) == 4


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("a", 10, "x", 10), True),
        (Figure("a", 9.99, "x", 10), False),
        (Figure("a", 0.2, "s", 0.3, most=True), True),
        (Figure("a", 0.4, "s", 0.3, most=True), False),
        (Figure("a", 5, "x"), None),
        (Figure("a", None, "x", 10), None),
    ],
)
def test_a_goal_is_reached_or_missed_as_its_number_says(figure, reached):
    assert figure.reached is reached


def test_a_missed_goal_shows_in_the_code_and_in_both_forms(capsys):
    figures = [Figure("fast", 20, "x", 10), Figure("slow", 2, "x", 10), Figure("absent", None, "x", note="not here")]
    assert measuring.report("trial", figures, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert [row.get("reached") for row in document["figures"]] == [True, False, None]
    assert measuring.report("trial", figures) == 1
    table = capsys.readouterr().out
    assert "yes" in table
    assert "no" in table
    assert "not here" in table
    assert measuring.report("trial", figures[:1]) == 0


def test_repeats_are_taken_in_turn_and_the_first_round_is_not_counted():
    order = []
    found = measuring.in_turn(
        {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}, repeats=2
    )
    assert order == list("ababab")
    assert found == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert measuring.ratio(found["b"], found["a"]) == pytest.approx((4 / 3 + 6 / 5) / 2)


def test_every_packet_goes_through_the_pipeline_of_the_benchmark():
    config = load(Path("/dev/null"), environ={})
    texts = contents.texts(24)
    seen = []
    mind = SmallMind(lambda packets: seen.extend(packet.payload for packet in packets))
    assert speed.through(config, mind, speed.spread("text", texts, 4)) == 6
    assert sorted(seen) == sorted(texts)


@pytest.mark.parametrize("live", [False, True])
def test_the_plumbing_takes_every_packet(live):
    taken, used = stream.ours(stream.events(4), live=live)  # raises where a packet is missing
    assert taken > 0
    assert used > 0


def test_engines_that_are_not_installed_are_named_with_what_installs_them(capsys, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setenv("SENSORIUM_ENGINES", str(bare))
    assert stream.run(as_json=True, seconds=2, repeats=1) == 0
    figures = {row["name"]: row for row in json.loads(capsys.readouterr().out)["figures"]}
    assert figures["by event time"]["value"] > 0
    assert figures["pipecat"]["value"] is None
    assert "pip install pipecat-ai bytewax" in figures["pipecat"]["note"]


def test_the_recording_that_is_made_replays(tmp_path):
    path = tmp_path / "made.mcap"
    program.record(path, 2)
    recording = open_recording(path)
    assert {name: stream.packets for name, stream in recording.streams.items()} == {"camera": 20, "mic": 20, "notes": 2}
    assert not recording.damage


@pytest.mark.models
def test_speed_runs_on_a_handful(capsys):
    speed.run(as_json=True, repeats=1, count={"text": 4, "image": 4, "audio": 6}, whole=False)
    figures = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)["figures"]}
    for name in ("text", "image", "audio", "moments"):
        assert figures[f"{name}: through the pipeline"] > 0
        assert figures[f"{name}: share"] > 0
