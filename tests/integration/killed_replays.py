"""Replays that die: a program of its own, because its children kill themselves with SIGKILL.

    python killed_replays.py RECORDING FOLDER SEED ROUNDS

Each round resumes one replay until it ends, every attempt but the last dying at a random moment: before or after a batch is
encoded, a moment is stored, the sink has written and the cursor has not yet moved, or simply some time after the start.
Prints how many attempts died at which kind of moment; the outputs lie in FOLDER/ROUND.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenes import configured

from connectors.recording.replay import open_recording
from connectors.sinks.jsonl import JsonlSink
from daemon import build
from daemon.config import Sink
from daemon.registry import Component, Registry
from pipelines.clock import BootClock
from pipelines.protocols import Record
from pipelines.testing import SmallMind

KINDS = ("encode", "moment", "before write", "after write", "half written", "time", "commit")


class Fate:
    """Dies at the `count`-th moment of its kind; of a process there is one."""

    kind = ""
    count = 0

    def at(self, kind: str) -> None:
        if kind == self.kind:
            self.count -= 1
            if self.count < 0:
                os.kill(os.getpid(), signal.SIGKILL)


FATE = Fate()


class DyingSink(JsonlSink):
    """The real sink, which may die round a write."""

    async def write(self, records: Sequence[Record]) -> None:
        FATE.at("before write")
        if FATE.kind == "half written" and FATE.count <= 0:
            with self._path.open("ab") as file:
                file.write(records[0].body[: len(records[0].body) // 2])
        FATE.at("half written")
        await super().write(records)
        FATE.at("after write")


def attempt(recording: Path, folder: Path) -> None:
    """As the command does it, with the dying sink."""
    config = replace(
        configured(folder / "store", batch=4), sinks={"out": Sink(type="dying", options={"path": folder / "out.jsonl"})}
    )
    registry = Registry([Component("sink", "dying", f"{__name__}:DyingSink")])
    if FATE.kind == "time":
        threading.Timer(FATE.count / 1000, os.kill, (os.getpid(), signal.SIGKILL)).start()
    clock = BootClock()
    group = build.replayed(config, open_recording(recording), clock=clock)
    mind = SmallMind(lambda packets: FATE.at("encode"))
    with build.pipeline(config, group, mind, clock=clock, registry=registry) as pipeline:
        pipeline.store.on_commit(lambda: FATE.at("commit"))

        def told(moment: Any) -> None:
            FATE.at("moment")

        asyncio.run(pipeline.run(told))


def main(recording: Path, folder: Path, seed: int, rounds: int) -> None:
    died: Counter[str] = Counter()
    for number in range(rounds):
        dice = random.Random(seed * 1000 + number)
        here = folder / str(number)
        here.mkdir()
        for deaths in range(40):
            kind = dice.choice(KINDS)
            most = {"time": 250, "encode": 12, "moment": 20}.get(kind, 4)
            FATE.kind, FATE.count = kind if deaths < 4 else "", dice.randrange(most)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    attempt(recording, here)
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status):
                if os.WEXITSTATUS(status):
                    raise SystemExit(f"round {number}, attempt {deaths} failed")
                break
            died[kind] += 1
    print(sum(died.values()), dict(died))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
