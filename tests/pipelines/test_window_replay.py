"""The promise that makes a recording worth having: whatever the clock decided live, the replay decides again.

A random live run - streams that differ in latency, fall silent, come back, are late, break their own order, join, end and
return; ticks, deadlines, a budget, a stop - is recorded as its packets, Bounds, Gaps and Cuts. Replayed with those Cuts
and no tick, under any interleaving that keeps each stream's own order, it gives the same windows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap, Packet
from pipelines.window import REFUSED, Counters, Cut, StreamTime, Window, Windower

RATE = 100  # samples per second: a few samples a chunk keep thousands of examples fast


def told(window: Window) -> tuple[object, ...]:
    """Everything a window says, comparable."""
    packets = {
        stream: tuple((p.timestamp, p.rate, p.payload if p.rate is None else p.payload.tobytes()) for p in of_stream)
        for stream, of_stream in window.packets.items()
    }
    return window.start, window.end, window.id, window.revision, window.complete, packets, dict(window.gaps)


@dataclass
class Live:
    """A random live run and what a recorder keeps of it."""

    dice: random.Random
    lateness: int
    options: dict[str, int | None] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    events: dict[str, list[Event]] = field(default_factory=dict)
    refused: list[Packet] = field(default_factory=list)
    late: list[tuple[Packet, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        dice = self.dice
        self.hop = dice.choice([SECOND, 2 * SECOND, 700 * MILLISECOND])
        self.length = self.hop * dice.choice([1, 1, 2, 3]) + dice.choice([0, 0, 300 * MILLISECOND])
        self.streams = {
            "a": StreamTime(bound=dice.choice([0, 500 * MILLISECOND])),
            "b": StreamTime(bound=dice.choice([0, 0, 200 * MILLISECOND]), idle_after=dice.choice([None, SECOND])),
            "words": StreamTime(holds=dice.random() < 0.3),
        }
        self.options = {
            "idle_after": dice.choice([None, 2 * SECOND]),
            "deadline": dice.choice([None, 500 * MILLISECOND, 2 * SECOND]),
            "budget_bytes": dice.choice([None, None, 400]),
            "max_ahead": dice.choice([None, 3600 * SECOND]),
        }
        self.windower = Windower(
            length=self.length, hop=self.hop, streams=self.streams, lateness=self.lateness,
            late=lambda packet, reason: self.late.append((packet, reason)), on_cut=self.cuts.append, **self.options,
        )  # fmt: skip
        self.now = dice.choice([0, 3, 5000]) * SECOND
        self.open = {"a", "b", "words"}
        self.latency = {"a": 50, "b": 100, "words": 2000, "d": 300}
        self.asleep: dict[str, int] = {"b": self.now + dice.choice([0, 10]) * SECOND}
        self.sample = 0
        self.audio_from = self.now
        self.numbers = 0

    def run(self, steps: int) -> None:
        dice = self.dice
        for _ in range(steps):
            self.now += dice.choice([20, 50, 100, 300, 900]) * MILLISECOND
            if dice.random() < 0.01:
                self.now += dice.choice([10, 5000]) * SECOND
            chance = dice.random()
            if chance < 0.2:
                self.windows += self.windower.tick(self.now)
            elif chance < 0.23:
                self.turn("d")
            elif chance < 0.25:
                self.turn(dice.choice(sorted(self.open | {"a"})))
            elif chance < 0.3 and self.open:
                self.asleep[dice.choice(sorted(self.open))] = self.now + dice.choice([1, 3, 8, 30]) * SECOND
            elif chance < 0.33 and self.open:
                stream = dice.choice(sorted(self.open))
                self.latency[stream] = dice.choice([50, 400, 2500, 6000])
            else:
                self.speak()

    def turn(self, stream: str) -> None:
        """Ends an open stream, opens one that is not."""
        if stream in self.open:
            self.open.remove(stream)
            self.windows += self.windower.close(stream)
        else:
            self.open.add(stream)
            self.windows += self.windower.open(stream, self.now)

    def speak(self) -> None:
        awake = sorted(s for s in self.open if self.asleep.get(s, 0) <= self.now)
        if not awake:
            return
        dice, stream = self.dice, self.dice.choice(awake)
        time = self.now - self.latency[stream] * MILLISECOND
        kind = dice.random()
        event: Event
        if kind < 0.06:
            event = Bound(stream, time)
            self.windows += self.windower.advance(stream, time, self.now)
        elif kind < 0.12:
            event = Gap(stream, time - dice.choice([0, 500, 4000]) * MILLISECOND, time, "xrun")
            self.windows += self.windower.gap(event, self.now)
        else:
            if kind < 0.2:
                time += dice.choice([-30_000, -8000, -900, -300, 900]) * MILLISECOND
            if kind > 0.99:
                time = dice.choice([0, -5, 2**62, time - 2 * 3600 * SECOND, time + 3 * 3600 * SECOND])
            event = self.packet(stream, time)
            seen = len(self.late)
            self.windows += self.windower.push(event, self.now)
            if any(reason in REFUSED for _, reason in self.late[seen:]):
                self.refused.append(event)
                return
        self.events.setdefault(stream, []).append(event)

    def packet(self, stream: str, time: int) -> Packet:
        self.numbers += 1
        if stream != "b":
            return Packet(stream, "text", time, f"{stream}{self.numbers}")
        count = self.dice.choice([1, 7, 20, 150])
        samples = np.arange(self.sample, self.sample + count, dtype=np.int16)[:, None]
        if self.dice.random() < 0.7:  # most chunks follow each other to the nanosecond
            time = max(self.audio_from, time - 100 * MILLISECOND) if time - self.audio_from < 5 * SECOND else time
        self.sample += count
        self.audio_from = time + count * SECOND // RATE
        return Packet(stream, "audio", time, samples, RATE)


def replay(live: Live, dice: random.Random, *, order: str) -> tuple[list[Window], dict[str, Counters]]:
    windower = Windower(
        length=live.length, hop=live.hop, streams=live.streams, lateness=live.lateness, cuts=live.cuts, **live.options
    )
    windows: list[Window] = []
    left = {stream: list(reversed(events)) for stream, events in live.events.items()}
    bounds = {stream: time.bound for stream, time in live.streams.items()}
    for stream in sorted(live.streams.keys() - left.keys()):
        windows += windower.close(stream)
    while left:
        # By time: lowest head first, each told as a Bound, as the merge of a replay does. A Gap promises nothing.
        if order == "time":
            stream = min(left, key=lambda s: _at(left[s][-1]))
            for name, events in left.items():
                if not isinstance(events[-1], Gap):
                    windows += windower.advance(name, _at(events[-1]) - bounds.get(name, 0), 0)
        elif order == "stream":
            stream = max(left)
        else:
            stream = dice.choice(sorted(left))
        for _ in range(dice.choice([1, 1, 20]) if order == "bursts" else 1):
            event = left[stream].pop()
            if isinstance(event, Packet):
                windows += windower.push(event, 0)
            elif isinstance(event, Bound):
                windows += windower.advance(stream, event.timestamp, 0)
            else:
                windows += windower.gap(event, 0)
            if not left[stream]:
                del left[stream]
                windows += windower.close(stream)
                break
    windows += windower.close()
    return windows, dict(windower.counters)


def _at(event: Event) -> int:
    return event.start if isinstance(event, Gap) else event.timestamp


def check(seed: int, lateness: int, steps: int, *, stopped: bool) -> None:
    live = Live(random.Random(seed), lateness)
    live.run(steps)
    if stopped:
        live.windows += live.windower.close()
    else:
        for stream in sorted(live.open):
            live.windows += live.windower.close(stream)
    assert len({(w.id, w.revision) for w in live.windows}) == len(live.windows)
    wanted = sorted(map(told, live.windows), key=lambda window: window[:4])
    for order in ("any", "bursts", "time", "stream"):
        windows, counters = replay(live, random.Random(seed + 1), order=order)
        assert sorted(map(told, windows), key=lambda window: window[:4]) == wanted, order
        for stream, counts in live.windower.counters.items():
            if stream in live.events:
                again = counters[stream]
                assert (again.admitted, again.late, again.trimmed) == (counts.admitted, counts.late, counts.trimmed)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32), lateness=st.sampled_from([0, 3 * SECOND, 20 * SECOND]),
    steps=st.integers(5, 250), stopped=st.booleans(),
)  # fmt: skip
@example(seed=1, lateness=3 * SECOND, steps=400, stopped=True)
def test_a_replay_gives_the_windows_of_the_live_run(seed: int, lateness: int, steps: int, stopped: bool) -> None:
    check(seed, lateness, steps, stopped=stopped)
