"""`sensorium bench stream`: the plumbing without models, beside other stream engines.

    python -m benchmarks.stream [--json] [--seconds 300] [--repeats 3]

A camera of 30 pictures a second, a microphone of 50 chunks and one text a second, as fast as they go: sources, channels,
merge, windows of two seconds every second, and a mind that does nothing. Once by event time, each stream admitting
disorder, as a replay runs; once live, with idleness, deadline, lateness, max_ahead and a budget.

Beside it, where they are installed: pipecat, which passes the same frames through as many processors as there are stages
here and makes no windows, and bytewax (its engine is in Rust), which collects the same windows. They bring many
dependencies, so give them an environment of their own:

    python -m venv .venv-engines && .venv-engines/bin/pip install pipecat-ai bytewax

or name its interpreter in $SENSORIUM_ENGINES. Rates are taken in turn. On a machine that others use, the rates per second
of the processor say more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.measuring import Figure, ratio, report
from pipelines.channel import ChannelLimits
from pipelines.group import Group
from pipelines.merge import Merged
from pipelines.packet import SECOND, Event, Packet
from pipelines.protocols import Overflow
from pipelines.testing import SettableClock
from pipelines.window import StreamTime, Windower

STAGES = 4
"""Channel, merge, align, mind."""

GOAL = 10.0
"""Times pipecat."""

ROOT = Path(__file__).parents[1]
BOUND = SECOND // 10
_RATES = {"camera": 30, "mic": 50, "notes": 1}


def events(seconds: int) -> dict[str, list[Packet]]:
    """By stream, in order."""
    jpeg, pcm = bytes(15_000), np.zeros((320, 1), np.int16)
    return {
        "camera": [Packet("camera", "image", i * SECOND // 30, jpeg) for i in range(seconds * 30)],
        "mic": [Packet("mic", "audio", i * SECOND // 50, pcm, 16_000) for i in range(seconds * 50)],
        "notes": [Packet("notes", "text", i * SECOND, "tea is ready") for i in range(seconds)],
    }


class _Source:
    overflow: Overflow = "block"

    def __init__(self, row: Sequence[Event]) -> None:
        self._row = row

    async def events(self) -> AsyncGenerator[Event, None]:
        for event in self._row:
            yield event


def ours(rows: Mapping[str, Sequence[Packet]], *, live: bool) -> tuple[float, float]:
    """Seconds of time and of the processor that `rows` take."""
    clock = SettableClock()

    async def on_time(merged: AsyncIterator[Merged]) -> AsyncGenerator[Merged, None]:
        """A live clock, as fast as it goes: it is the time of the newest event."""
        async for event in merged:
            if isinstance(event, Packet) and event.timestamp > clock.time:
                clock.time = event.timestamp
            yield event

    if live:
        times = {name: StreamTime(bound=BOUND, idle_after=5 * SECOND) for name in rows}
        windower = Windower(
            length=2 * SECOND, hop=SECOND, streams=times, lateness=3 * SECOND, deadline=5 * SECOND,
            max_ahead=3600 * SECOND, budget_bytes=256_000_000,
        )  # fmt: skip
    else:
        windower = Windower(length=2 * SECOND, hop=SECOND, streams={name: StreamTime(bound=BOUND) for name in rows})
    group = Group(
        sources={name: _Source(row) for name, row in rows.items()},
        windower=windower,
        clock=clock,
        live=live,
        bounds=dict.fromkeys(rows, BOUND),
        limits={name: ChannelLimits(items=_RATES[name]) for name in rows} if live else None,  # a second each
        tap=on_time if live else None,
    )
    seen = 0

    async def run() -> None:
        nonlocal seen
        async with group.windows() as windows, aclosing(windows):  # type: ignore[type-var]
            async for window in windows:
                seen += sum(map(len, window.packets.values()))

    begun, used = time.perf_counter(), time.process_time()
    asyncio.run(run())
    taken = time.perf_counter() - begun, time.process_time() - used
    packets = sum(map(len, rows.values()))
    admitted = sum(counters.admitted for counters in windower.counters.values())
    if admitted != packets or seen < packets:
        raise RuntimeError(f"{admitted} of {packets} packets were admitted, {seen} came out")
    return taken


def interpreter() -> str:
    """The one that is asked for other engines."""
    named = os.environ.get("SENSORIUM_ENGINES")
    beside = ROOT / ".venv-engines" / "bin" / "python"
    return named or (str(beside) if beside.exists() else sys.executable)


def other(name: str, seconds: int) -> dict[str, object] | str:
    """What `beside/engines.py` says, or why it says nothing."""
    script = str(Path(__file__).parent / "beside" / "engines.py")
    command = [interpreter(), script, name, str(seconds), str(STAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return answer
    last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
    if "No module named" in last:
        return "not installed: python -m venv .venv-engines && .venv-engines/bin/pip install pipecat-ai bytewax"
    return last


def run(
    as_json: bool = False, *, seconds: int = 300, repeats: int = 3, engines: Sequence[str] = ("pipecat", "bytewax")
) -> int:
    """1 where the goal was missed."""
    rows = events(seconds)
    count = sum(map(len, rows.values()))
    wall: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    notes = []
    for number in range(repeats):
        for name, live in (("by event time", False), ("live", True)):
            taken, used = ours(rows, live=live)
            wall.setdefault(name, []).append(count / taken)
            cpu.setdefault(name, []).append(count / used)
        for name in engines:
            answer = missing[name] if name in missing else other(name, min(seconds, 100))
            if isinstance(answer, str):
                missing[name] = answer
                continue
            wall.setdefault(name, []).append(float(str(answer["rate"])))
            cpu.setdefault(name, []).append(float(str(answer["of_cpu"])))
            if number == 0:
                notes.append(f"{name} {answer['version']}")
    figures = []
    for name in ("by event time", "live", *engines):
        if name in missing:
            figures.append(Figure(name, None, "events/s", note=missing[name]))
            continue
        figures.append(Figure(name, median(wall[name]), "events/s"))
        figures.append(Figure(f"{name}, of the processor", median(cpu[name]), "events/s"))
    for name in engines:
        if name not in missing:
            goal = GOAL if name == "pipecat" else None
            figures.append(Figure(f"by event time : {name}", ratio(wall["by event time"], wall[name]), "x", goal))
            figures.append(
                Figure(f"by event time : {name}, of the processor", ratio(cpu["by event time"], cpu[name]), "x")
            )
    return report("stream", figures, notes=notes, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The plumbing without models, beside other stream engines.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=300, help="of event time")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    return run(options.json, seconds=options.seconds, repeats=options.repeats)


if __name__ == "__main__":
    sys.exit(main())
