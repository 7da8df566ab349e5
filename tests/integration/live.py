"""Live runs on a clock that a schedule moves, recorded as the program records them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scenes import START, jpeg

from connectors.recording.replay import open_recording
from daemon import build
from daemon.config.tree import Align, Channel, Config, Record, Stream
from daemon.registry import Component, Registry
from pipelines.errors import SourceError
from pipelines.group import Group
from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap, Packet
from pipelines.protocols import Overflow
from pipelines.testing import ScriptedSource, SettableClock
from pipelines.window import Window

RATE = 8_000
End: TypeAlias = None  # the stream ends in order
Step: TypeAlias = "Event | Exception | End"


def scripted(stream: str, *, script: Callable[[str], Iterator[Any]], overflow: Overflow) -> ScriptedSource:
    """A source of the registry below."""
    return ScriptedSource(script(stream), overflow=overflow)


REGISTRY = Registry([Component("source", "scripted", f"{__name__}:scripted")])


@dataclass
class Schedule:
    """What arrives when: (arrival, stream, step, turns), `turns` being how long the event loop may work on it."""

    steps: list[tuple[int, str, Step, int]]
    align: Align
    streams: dict[str, Stream]
    stopped: bool = True
    gates: dict[str, list[tuple[asyncio.Event, Step]]] = field(default_factory=dict)

    def script(self, stream: str) -> Iterator[Any]:
        """A gate in front of each step; behind the last one the source stays silent, unless it was told to end."""
        for gate, step in self.gates.get(stream, []):
            yield gate
            if step is None:
                return
            yield step
        yield asyncio.Event()

    def config(self, recording: Path | None) -> Config:
        streams = {
            name: replace(stream, options={**stream.options, "script": self.script})
            for name, stream in self.streams.items()
        }
        return Config(mode="live", streams=streams, align=self.align, record=Record(path=recording))

    async def direct(self, group: Group, clock: SettableClock) -> None:
        """Let everything happen, then stop the group, or let its sources end."""
        opened = {stream: iter(gates) for stream, gates in self.gates.items()}
        for when, stream, _, turns in self.steps:
            clock.time = when
            next(opened[stream])[0].set()
            for _ in range(turns):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        if self.stopped:
            group.stop()

    def prepare(self) -> None:
        """Make the gates; belongs to one run."""
        self.gates = {stream: [] for stream in self.streams}
        for _, stream, step, _ in self.steps:
            self.gates[stream].append((asyncio.Event(), step))


def told(windows: Sequence[Window]) -> list[tuple[Any, ...]]:
    """All that windows say, comparable."""
    return sorted(
        (
            w.start, w.revision, w.end, w.id, w.complete, repr(sorted(w.gaps.items())),
            repr([
                (stream, [(p.modality, p.timestamp, p.rate,
                           p.payload.tobytes() if isinstance(p.payload, np.ndarray) else p.payload) for p in packets])
                for stream, packets in sorted(w.packets.items())
            ]),
        )
        for w in windows
    )  # fmt: skip


async def watch(schedule: Schedule, recording: Path) -> tuple[list[Window], Group]:
    """The windows of a live run, which is recorded."""
    schedule.prepare()
    clock = SettableClock(START)
    windows: list[Window] = []
    with build.configured(schedule.config(recording), clock=clock, registry=REGISTRY) as group:
        async with group.windows() as coming:
            directing = asyncio.create_task(schedule.direct(group, clock))
            async for window in coming:
                windows.append(window)
                if len(windows) % 3 == 0:
                    await asyncio.sleep(0)
            await directing
    return windows, group


async def watch_again(recording: Path) -> tuple[list[Window], Group]:
    """The windows of its replay."""
    group = build.replayed(Config(), open_recording(recording), clock=SettableClock(START))
    async with group.windows() as coming:
        return [window async for window in coming], group


MALFORMED: tuple[Callable[[str, int, int], Packet], ...] = (
    lambda name, time, number: Packet(name, "audio", time, np.full((800, 1), np.nan), RATE, number),  # type: ignore[arg-type]
    lambda name, time, number: Packet(name, "audio", time, np.zeros(800, np.int16), RATE, number),
    lambda name, time, number: Packet(name, "audio", time, np.zeros((800, 1), np.int16), 10**9, number),
    lambda name, time, number: Packet(name, "audio", time, np.zeros((800, 1), np.int16), 0, number),
    lambda name, time, number: Packet(name, "image", time, "no bytes", None, number),
    lambda name, time, number: Packet(name, "text", time, "lone \ud800 surrogate", None, number),
    lambda name, time, number: Packet(name, "text", time, "x" * (2**20 + 1), None, number),
    lambda name, time, number: Packet(name, "text", 2**63 + number, "beyond", None, number),
    lambda name, time, number: Packet(name, "smell", time, b"roses", None, number),  # type: ignore[arg-type]
)
"""What a source might send that is in no canonical form, of whatever stream."""


def random_schedule(seed: int, *, length: int = 110) -> Schedule:  # noqa: PLR0912, PLR0915 - a story, told in one go
    """A camera that freezes, a microphone that jitters, notes out of order, an absent stream, a heartbeat, troubles."""
    dice = random.Random(seed)
    hop = dice.choice([SECOND, SECOND // 2, 700 * MILLISECOND])
    align = Align(
        length=hop * dice.choice([1, 2, 3]), hop=hop, lateness=dice.choice([0, 0, 3, 20]) * SECOND,
        deadline=dice.choice([None, SECOND // 2, 0]), idle_after=dice.choice([None, 2 * SECOND, SECOND // 2]),
        max_ahead=dice.choice([3600 * SECOND, 3600 * SECOND, None]), budget=dice.choice([None, 256_000_000, 20_000]),
    )  # fmt: skip

    def stream(**given: Any) -> Stream:
        channel = Channel(
            items=dice.choice([1, 2, 5, 256]), bytes=dice.choice([2_000, 64_000_000]),
            age=dice.choice([None, SECOND]), overflow=dice.choice([None, None, "block", "drop_newest"]),
        )  # fmt: skip
        overflow = dice.choice(["drop_oldest", "keep_latest", "drop_newest", "drop_oldest"])
        return Stream(type="scripted", channel=channel, options={"overflow": overflow}, **given)

    streams = {
        "camera": stream(bound=dice.choice([0, 0, 100 * MILLISECOND])),
        "mic": stream(idle_after=dice.choice([None, SECOND])),
        "notes": stream(bound=dice.choice([0, SECOND]), holds=dice.random() < 0.6),
    }
    for name, share in (("absent", 0.5), ("pulse", 0.7)):
        if dice.random() < share:
            streams[name] = stream()
    steps: list[tuple[int, str, Step, int]] = []
    now, sample, asleep, over = START, 0, {"camera": 0, "mic": 0, "notes": 0}, set[str]()
    shift = dice.choice([0, 0, 0, 40 * MILLISECOND])
    if "absent" in streams and dice.random() < 0.5:
        steps.append((now, "absent", SourceError("absent: there is no such device"), 3))
        over.add("absent")
    for number in range(length):
        now += dice.choice([0, 5, 30, 60, 100, 150, 400]) * MILLISECOND
        if dice.random() < 0.02:
            now += dice.choice([3, 30, 4000]) * SECOND
        turns = dice.choice([0, 0, 1, 3, 8, 14])
        name = dice.choice([n for n in ("camera", "mic", "mic", "notes", "pulse") if n in streams])
        if name in over or asleep.get(name, 0) > now:
            continue
        chance = dice.random()
        if name == "pulse":
            steps.append((now, name, Bound(name, now), turns))
            continue
        if chance < 0.02:
            asleep[name] = now + dice.choice([1, 3, 9]) * SECOND
            continue
        if chance < 0.03:
            steps.append((now, name, dice.choice([None, SourceError(f"{name}: unplugged"), OSError("gone")]), turns))
            over.add(name)
            continue
        if chance < 0.05:
            steps.append((now, name, Gap(name, now - dice.choice([0, 500, 2500]) * MILLISECOND, now, "xrun"), turns))
            continue
        if chance < 0.08:
            steps.append((now, name, Bound(name, now - dice.choice([0, 200, 900]) * MILLISECOND), turns))
            continue
        time = now - dice.choice([0, 0, 20, 120, 600, 2500]) * MILLISECOND
        if chance > 0.97:
            day = 24 * 3600 * SECOND
            time = dice.choice([0, -1, 2**62, 2**63, -(2**62), now + day, now - day, now + SECOND])
        step: Step
        if name == "camera":
            step = Packet(name, "image", time, jpeg(number % 50), None, number)
        elif name == "notes":
            step = Packet(name, "text", time, f"note {number}", None, number)
        else:
            count = dice.choice([80, 800, 777, 0 if chance > 0.95 else 800, 20_000 if dice.random() < 0.05 else 400])
            samples = np.arange(sample, sample + count).astype(np.int16)[:, None]
            if dice.random() < 0.7 and 0.08 < chance <= 0.97:
                time = START + shift + sample * SECOND // RATE
                if time < now - 2 * SECOND or time > now + SECOND:
                    sample = max(sample, (now - START) * RATE // SECOND)
                    time = START + shift + sample * SECOND // RATE
            sample += count
            step = Packet(name, "audio", time, samples, RATE, number)
        if dice.random() < 0.03:
            step = dice.choice(MALFORMED)(name, time, number)
        steps.append((now, name, step, turns))
    stopped = dice.random() < 0.7
    if not stopped:
        steps += [(now, name, None, 3) for name in streams if name not in over]
    return Schedule(steps, align, streams, stopped=stopped)
