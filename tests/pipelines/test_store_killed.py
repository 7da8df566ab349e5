"""SIGKILL at any moment: what was acknowledged is there, what is there is whole, and a resumed run makes up the rest."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.store import Reader, Store
from pipelines.testing.moments import a_moment, a_view

COUNT = 400
_CHILD = """
import sys
import numpy as np
from pipelines.store import Clip, Store
from pipelines.testing.moments import a_moment, a_view

def told(number):
    def tell(future):
        sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
    return tell

with Store(sys.argv[1]) as store:
    for number in range(int(sys.argv[2])):
        view = a_view("text", np.ones(8, np.float32), text=(f"words {number} " * 40,))
        future = store.put(a_moment(f"m{number}", {"notes": view}, start=number), {f"store:{number}": Clip("x/y", b"c")})
        future.add_done_callback(told(number))
        if number % 7 == 0:
            store.move_cursor("sink", number // 2)
"""


def _run(directory: Path, kill_after: int | None) -> list[int]:
    """Let a child store COUNT moments; kill it right after it acknowledged `kill_after` of them. The acknowledged ones."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(directory), str(COUNT)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    told: list[int] = []
    with child.stdout as lines:
        for line in lines:
            if line.endswith("\n"):
                told.append(int(line))
            if kill_after is not None and len(told) >= kill_after:
                child.send_signal(signal.SIGKILL)
                kill_after = None
    child.wait()
    return told


@pytest.mark.parametrize("kills", [(1, 2, 3, 50), (17, 90, 5), (200, 33)])
def test_a_killed_writer_loses_nothing_it_acknowledged_and_a_second_run_completes_it(
    tmp_path: Path, kills: tuple[int, ...]
) -> None:
    acknowledged: set[int] = set()
    cursor = 0
    for kill in kills:
        acknowledged |= set(_run(tmp_path, kill))
        connection = sqlite3.connect(tmp_path / "store.db")
        stored = {int(name[1:]) for (name,) in connection.execute("SELECT moment FROM records")}
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for table in ("moments", "revisions"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (len(stored),)
        connection.execute("INSERT INTO words(words) VALUES('integrity-check')")
        connection.close()
        assert acknowledged <= stored
        assert stored == set(range(len(stored))), "puts of one caller are stored in its order, without a hole"
    _run(tmp_path, None)
    with Store(tmp_path) as store, Reader(tmp_path) as reader:
        assert store.notice is None
        records = store.records(0, 10 * COUNT)
        assert [record.sequence for record in records] == list(range(1, COUNT + 1))
        assert [json.loads(record.body)["id"] for record in records] == [f"m{number}" for number in range(COUNT)]
        assert store.cursor("sink") >= cursor
        assert sum(len(rows.keys) for rows in reader.vectors("shared", 0)) == COUNT
        assert store.statistics().media == COUNT


def test_the_lock_of_a_killed_writer_holds_nobody_up(tmp_path: Path) -> None:
    _run(tmp_path, 5)
    with Store(tmp_path) as store:
        assert store.put(a_moment("next", {"notes": a_view("text", text=("tea",))})).result(10) is not None
