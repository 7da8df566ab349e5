"""Store, outbox and file together under SIGKILL: the file of an interrupted run is that of an uninterrupted one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import asyncio, sys
from connectors.sinks.jsonl import JsonlSink
from pipelines.store import Outbox, Store
from pipelines.testing.moments import a_moment, a_view

async def main(directory):
    with Store(directory + "/store") as store:
        outbox = Outbox(store, {"jsonl": JsonlSink(directory + "/moments.jsonl")}, batch=7)
        delivering = asyncio.create_task(outbox.run())
        for number in range(200):
            for words in ("at first", "and then"):  # every third moment is revised
                if words == "at first" or number % 3 == 0:
                    view = a_view("text", text=(f"{words} {number}",))
                    await asyncio.wrap_future(store.put(a_moment(f"m{number}", {"notes": view}, start=number)))
            print(number, flush=True)
        assert await outbox.drain(None)
        await delivering

asyncio.run(main(sys.argv[1]))
"""


def _run(directory: Path, kill_after: int | None = None) -> None:
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout as lines:
        for count, _ in enumerate(lines):
            if count == kill_after:
                child.send_signal(signal.SIGKILL)
    assert child.wait() == (0 if kill_after is None else -signal.SIGKILL)


@pytest.mark.parametrize("kills", [(3, 40, 41), (199, 120, 7)])
def test_killed_and_resumed_the_file_is_byte_identical(tmp_path: Path, kills: tuple[int, ...]) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for directory in (whole, killed):
        directory.mkdir()
    _run(whole)
    for kill in kills:
        _run(killed, kill)
    _run(killed)
    assert (killed / "moments.jsonl").read_bytes() == (whole / "moments.jsonl").read_bytes()
    assert len((whole / "moments.jsonl").read_bytes().splitlines()) == 267
