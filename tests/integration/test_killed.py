"""What a user would lose to a power cut: nothing. The same command again gives the file of an uninterrupted run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from scenes import ROOT, replayed, scene, sensorium, write_recording

from pipelines.protocols import Mind

HERE = Path(__file__).parent
TABLES = {
    "records": "SELECT sequence, moment, revision, grp, body FROM records ORDER BY 1",
    "moments": "SELECT key, id, revision, sequence, start, finish, complete, model FROM moments ORDER BY 1",
    "views": "SELECT key, moment, stream, labels, quality, confidence, text, media FROM views ORDER BY 1",
    "vectors": "SELECT view, vector FROM vectors_shared ORDER BY 1",
    "words": "SELECT rowid FROM words WHERE words MATCH 'note' ORDER BY 1",
    "cursors": "SELECT sequence FROM cursors",
    "dead letters": "SELECT count(*) FROM dead_letters",
}


def content(store: Path) -> dict[str, list[Any]]:
    connection = sqlite3.connect(store / "store.db")
    try:
        return {name: connection.execute(query).fetchall() for name, query in TABLES.items()}
    finally:
        connection.close()


@pytest.mark.soak
def test_killed_at_any_moment_and_resumed_the_file_and_the_store_are_those_of_one_run(tmp_path: Path) -> None:
    rounds = 40 if os.environ.get("SENSORIUM_SOAK") else 5
    path = write_recording(tmp_path / "a.mcap", scene(30))
    (tmp_path / "whole").mkdir()
    whole, _ = replayed(path, tmp_path / "whole")
    done = subprocess.run(
        [sys.executable, HERE / "killed_replays.py", path, tmp_path, "7", str(rounds)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= rounds * 2  # that many attempts died
    expected = content(tmp_path / "whole" / "store")
    assert len(expected["records"]) == len(whole) == 31
    for number in range(rounds):
        assert (tmp_path / str(number) / "out.jsonl").read_bytes() == b"".join(whole)
        assert content(tmp_path / str(number) / "store") == expected


@pytest.mark.models
def test_the_command_is_killed_and_resumed(tmp_path: Path, mind: Mind) -> None:
    """And the second call says on standard output one document and nothing else."""
    path = write_recording(tmp_path / "a.mcap", scene(20))
    (tmp_path / "whole").mkdir()
    whole, _ = replayed(path, tmp_path / "whole", mind=mind)
    out = tmp_path / "out.jsonl"
    command = ["replay", "a.mcap", "--store", "store", "--sink", "jsonl:out.jsonl", "--json", "--speed"]
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", *command, "10"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as running:
        while not (out.exists() and out.stat().st_size):
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"it ended by itself with {running.wait(0.05)}")
        running.send_signal(signal.SIGKILL)
    assert 0 < len(out.read_bytes().splitlines()) < len(whole)
    done = sensorium(*command, "max", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert out.read_bytes() == b"".join(whole)
    outcome = json.loads(done.stdout)
    assert 0 < outcome["stored"] < outcome["moments"] == len(whole)
