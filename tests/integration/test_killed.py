"""What a user would lose to a power cut: nothing. The same command again gives the file of an uninterrupted run."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scenes import ROOT, replayed, scene, write_recording

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


def test_killed_at_any_moment_and_resumed_the_file_and_the_store_are_those_of_one_run(tmp_path: Path) -> None:
    rounds = 40 if os.environ.get("SENSORIUM_SOAK") else 8
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
def test_the_command_is_killed_and_resumed(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mcap", scene(20))

    def command(name: str, speed: str) -> list[str]:
        return [sys.executable, "-m", "daemon", "replay", str(path), "--speed", speed, "--quiet",
                "--store", f"{name}/store", "--sink", f"jsonl:{name}/out.jsonl"]  # fmt: skip

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command("whole", "max"), cwd=tmp_path, env=environment, check=True, timeout=120)
    out = tmp_path / "killed" / "out.jsonl"
    with subprocess.Popen(command("killed", "10"), cwd=tmp_path, env=environment) as running:
        while running.poll() is None and not (out.exists() and out.stat().st_size):
            pass  # it pulls its models up, then begins to write
        running.send_signal(signal.SIGKILL)
    assert 0 < len(out.read_bytes().splitlines()) < 21
    subprocess.run(command("killed", "max"), cwd=tmp_path, env=environment, check=True, timeout=120)
    assert out.read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()
