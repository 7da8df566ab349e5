"""The program as a user meets it: how soon it answers, how fast a recording replays, how much memory that takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.material import made as contents
from benchmarks.measuring import Figure

ROOT = Path(__file__).parents[2]
HELP, FIRST, REAL_TIME, MEMORY = 0.3, 8.0, 40.0, 1.5
"""Goals: seconds, seconds, multiple of real time, GB."""

_REPLAY = """
import re, sys
from daemon.cli import main
recording, folder = sys.argv[1:]
sys.argv = ["sensorium", "replay", recording, "--store", folder, "--sink", f"jsonl:{folder}.jsonl", "--json"]
try:
    sys.exit(main())
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
# not ru_maxrss: that is inherited over fork and exec from whoever starts the process


def figures(device: str = "auto", *, repeats: int = 5, seconds: int = 60) -> list[Figure]:
    """Start, recording, memory, demo; `seconds`: of the recording that is made where none is bundled."""
    return [_help(repeats), *_recording(device, min(repeats, 3), seconds), _demo(device, min(repeats, 3))]


def _help(repeats: int) -> Figure:
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        _run([sys.executable, "-m", "daemon", "--help"])
        times.append(time.perf_counter() - begun)
    return Figure("sensorium --help", median(times[1:]), "s", HELP, most=True)


def _recording(device: str, repeats: int, seconds: int) -> list[Figure]:
    """A whole `sensorium replay`, in a process of its own: start and models included in memory, not in the speed."""
    import json

    from daemon import bundled

    speeds, peaks = [], []
    with tempfile.TemporaryDirectory(prefix="sensorium-speed-") as folder, bundled.recording() as bundle:
        recording, note = bundle, "the bundled recording"
        if not bundle.exists():
            recording, note = Path(folder) / "made.mcap", f"no recording is bundled: {seconds} s made here"
            record(recording, seconds)
        for number in range(repeats):
            done = _run([sys.executable, "-c", _REPLAY, str(recording), f"{folder}/{number}"], device, check=False)
            try:
                speeds.append(float(json.loads(done.stdout)["speed"]))
                peaks.append(int(done.stderr.split()[-1]) * 1024 / 1e9)  # it is in KiB
            except (ValueError, KeyError, IndexError):
                return [Figure("recording: speed", None, "x real time", note=done.stderr.strip()[-200:])]
    return [
        Figure("recording: speed", median(speeds), "x real time", REAL_TIME, note=note),
        Figure("recording: peak memory", max(peaks), "GB", MEMORY, most=True, note="of a whole `sensorium replay`"),
    ]


def _demo(device: str, repeats: int) -> Figure:
    """From the start of the process to the first line of a moment."""
    from daemon import bundled

    name = "demo: first moment"
    with bundled.recording() as bundle:
        if not bundle.exists():
            return Figure(name, None, "s", note="no recording is bundled")
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-u", "-m", "daemon", "demo"], cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(device),
        ) as demo:  # fmt: skip
            assert demo.stdout is not None
            first = next((line for line in demo.stdout if _is_moment(line)), None)
            times.append(time.perf_counter() - begun)
            demo.terminate()
        if first is None:
            return Figure(name, None, "s", note="it showed no moment")
    return Figure(name, median(times), "s", FIRST, most=True)


def _is_moment(line: str) -> bool:
    return any(f" {verb} " in line for verb in ("seen", "heard", "said")) and " s  " in line


def record(path: Path, seconds: int) -> None:
    """A recording of a camera at 10 pictures a second, a microphone and a text a second, all different."""
    import asyncio

    from connectors.recording.recorder import Recorder
    from connectors.recording.schema import Alignment
    from pipelines.clock import BootClock
    from pipelines.group import Group
    from pipelines.packet import SECOND, Packet
    from pipelines.testing import ScriptedSource
    from pipelines.window import StreamTime, Windower

    length = contents.RATE // 10
    packets: dict[str, Sequence[Packet]] = {
        "camera": [
            Packet("camera", "image", at * SECOND // 10, jpeg)
            for at, jpeg in enumerate(contents.pictures(seconds * 10))
        ],
        "mic": [
            Packet("mic", "audio", at * SECOND // 10, sound, contents.RATE)
            for at, sound in enumerate(contents.sounds(seconds * 10, length))
        ],
        "notes": [Packet("notes", "text", at * SECOND, text) for at, text in enumerate(contents.texts(seconds))],
    }
    clock = BootClock()
    times = {name: StreamTime() for name in packets}
    alignment = Alignment(length=2 * SECOND, hop=SECOND, streams=times, group="made", lateness=0, opened=None)
    recorder = Recorder(path, clock=clock, alignment=alignment, on_error=_raise)
    group = Group(
        sources={name: ScriptedSource(row) for name, row in packets.items()},
        windower=Windower(length=2 * SECOND, hop=SECOND, streams=times, group="made"),
        clock=clock, live=False, tap=recorder.tap,
    )  # fmt: skip

    async def pass_by() -> None:
        async with group.windows() as windows:
            async for _ in windows:
                pass

    try:
        asyncio.run(pass_by())
    finally:
        recorder.close()


def _raise(error: Exception) -> None:
    raise error


def _environment(device: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SENSORIUM_MIND__DEVICE": device}


def _run(command: Sequence[str], device: str = "auto", *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check, env=_environment(device))
