"""The one place where event time is decided: packets in, windows out.

A packet passes its stream's own tests (`intake`), is kept once for all windows (`shelf`), and the windows are decided
by the clock (`live`) or by the Cuts of a recording (`scripted`). No wall clock: the time comes in as `now`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipelines.canonical import FURTHEST
from pipelines.packet import Gap, Packet
from pipelines.watermark import UNSEEN, StreamTime
from pipelines.windowing.cut import Cut, Script
from pipelines.windowing.grid import Grid
from pipelines.windowing.intake import Counters, Intake
from pipelines.windowing.live import Live
from pipelines.windowing.scripted import Scripted
from pipelines.windowing.shelf import Shelf, Window, window_id

__all__ = ["REFUSED", "Counters", "Cut", "StreamTime", "Window", "Windower", "window_id"]

REFUSED = frozenset({"max_ahead", "forgotten", "stream_closed", "bad_time", "bad_audio"})
"""Reasons of packets of which nothing is kept and nothing counted: a replay must not push them.

The others, "behind_bound" and "window_closed", come again in a replay of themselves.
"""


class Windower:
    """Packets of several streams to windows [start, start + length), starts being the multiples of `hop`.

    Times and durations are integer ns. Not safe for threads. Windows come in the order in which they are decided. A
    packet that lies in several windows is admitted while one of them is open. Nothing but a stream name that was never
    opened raises.

    Args:
        length: of a window.
        hop: from start to start, at most `length`; None means `length`.
        streams: names, or {name: StreamTime(...)}; they open at the first `now`.
        group: what these streams are together; part of each window's id.
        lateness: how long after its end a window that the clock has cut can still be filled up.
        idle_after: default of the streams' own.
        deadline: how long after its end, by the clock, a window is decided at a tick.
        max_ahead: how far a timestamp may be from `now`; beyond it a packet is refused.
        budget_bytes: payloads kept; beyond it the oldest window is decided and closed.
        cuts: of a recording, maybe empty: then idleness, deadline, max_ahead and budget are off and every stream holds.
        late: called with each packet that is not admitted and the reason.
        on_cut: called with each decision that the full watermark alone did not cause.
    """

    def __init__(
        self,
        *,
        length: int,
        hop: int | None = None,
        streams: Iterable[str] | Mapping[str, StreamTime],
        group: str = "default",
        lateness: int = 0,
        idle_after: int | None = None,
        deadline: int | None = None,
        max_ahead: int | None = None,
        budget_bytes: int | None = None,
        cuts: Iterable[Cut] | None = None,
        late: Callable[[Packet, str], None] | None = None,
        on_cut: Callable[[Cut], None] | None = None,
    ) -> None:
        given = {"lateness": lateness, "idle_after": idle_after, "deadline": deadline, "max_ahead": max_ahead,
                 "budget_bytes": budget_bytes}  # fmt: skip
        negative = [f"{name}={value}" for name, value in given.items() if value is not None and value < 0]
        if negative:
            raise ValueError(f"{', '.join(negative)}: must not be negative")
        times = dict(streams) if isinstance(streams, Mapping) else dict.fromkeys(streams, StreamTime())
        self._late = late or _ignore
        self._max_ahead = max_ahead if cuts is None else None
        grid = Grid(length, length if hop is None else hop)
        self._shelf = Shelf(group, grid, weigh=budget_bytes is not None and cuts is None)
        on_cut = on_cut or _ignore
        joins: Mapping[str, list[tuple[int, int]]] = {}
        self._decisions: Live | Scripted
        if cuts is None:
            self._decisions = Live(
                self._shelf, times, lateness=lateness, idle_after=idle_after, deadline=deadline, budget=budget_bytes,
                on_cut=on_cut,
            )  # fmt: skip
        else:
            script = Script(cuts)
            joins = {name: [(n, start + length) for n, start in told] for name, told in script.joins.items()}
            self._decisions = Scripted(self._shelf, script, frozenset(times), on_cut=on_cut)
            times |= {name: StreamTime() for name in sorted(script.streams - times.keys())}
        for name, time in times.items():
            self._shelf.intakes[name] = Intake(name, time, joins.get(name))
        self._shelf.measure()

    def push(self, packet: Packet, now: int) -> list[Window]:
        """Take `packet`, in its stream's own order."""
        intake = self._shelf.intakes.get(packet.stream) or self._intake(packet.stream)
        counters = intake.counters
        counters.received += 1
        reason = self._refusal(intake, packet, now)
        entry = None
        if reason is None:
            entry = intake.examine(packet)
            if entry is None:
                reason = "behind_bound"
            elif entry[0] < self._decisions.wary:
                reason = self._decisions.judge(intake, entry, now)
        if entry is None or (reason is not None and reason in REFUSED):
            if reason in REFUSED:
                counters.refused += 1
            else:
                counters.late += 1
            self._late(packet, reason or "")
            return []
        shelf = self._shelf
        before = intake.progress
        if intake.take(entry, packet.end) and before <= shelf.full:
            shelf.measure()
        if reason is None:
            counters.admitted += 1
            if entry[2] is not packet:
                counters.trimmed += len(packet.payload) - len(entry[2].payload)
            shelf.store(intake, entry, self._decisions.decided)
        else:
            counters.late += 1
            self._late(packet, reason)
        return self._decisions.observe(intake, now)

    def advance(self, stream: str, timestamp: int, now: int) -> list[Window]:
        """A Bound: nothing of `stream` older than `timestamp` will come."""
        intake = self._intake(stream)
        if intake.closed:
            return []
        before = intake.progress
        if intake.promise(timestamp) and before <= self._shelf.full:
            self._shelf.measure()
        return self._decisions.observe(intake, now)

    def gap(self, gap: Gap, now: int) -> list[Window]:
        """A known loss: shown in the windows that it touches; it promises nothing about what comes."""
        intake = self._intake(gap.stream)
        if intake.closed:
            return []
        if gap.start <= FURTHEST:
            intake.gaps.append((gap, intake.taken, intake.progress))
        intake.count(UNSEEN)
        self._shelf.measure()
        return self._decisions.lose(intake)

    def tick(self, now: int) -> list[Window]:
        """Time has passed and everything that has come was pushed: idleness and deadlines are judged."""
        return self._decisions.tick(now)

    def open(self, stream: str, now: int) -> list[Window]:
        """`stream` joins at run time, or comes back after its close."""
        intake = self._shelf.intakes.get(stream)
        if intake is None:
            intake = self._shelf.intakes[stream] = Intake(stream, StreamTime())
        elif not intake.closed:
            return []
        intake.reopen()
        self._shelf.measure()
        return self._decisions.open(intake, now)

    def close(self, stream: str | None = None) -> list[Window]:
        """The end of one stream, which nobody waits for any longer; or, of all, a stop that cuts what is open."""
        if stream is not None:
            intake = self._intake(stream)
            intake.close()
            self._shelf.measure()
            return self._decisions.close(intake)
        windows = self._decisions.stop()
        for intake in self._shelf.intakes.values():
            intake.close()
        return windows

    @property
    def counters(self) -> Mapping[str, Counters]:
        """By stream, what became of its packets; live objects."""
        return {name: intake.counters for name, intake in self._shelf.intakes.items()}

    @property
    def held(self) -> int:
        """Packets kept for windows that are not final."""
        return sum(len(intake.entries) for intake in self._shelf.intakes.values())

    def _refusal(self, intake: Intake, packet: Packet, now: int) -> str | None:
        timestamp = packet.timestamp
        if intake.closed:
            return "stream_closed"
        if self._max_ahead is not None and not -self._max_ahead <= timestamp - now <= self._max_ahead:
            return "max_ahead"
        if not -FURTHEST <= timestamp <= FURTHEST:
            return "bad_time"
        if packet.rate is not None:
            if packet.rate <= 0 or len(packet.payload) == 0:
                return "bad_audio"
            if packet.end > FURTHEST:
                return "bad_time"
        return None

    def _intake(self, stream: str) -> Intake:
        try:
            return self._shelf.intakes[stream]
        except KeyError:
            raise ValueError(f"unknown stream {stream!r}; known are {sorted(self._shelf.intakes)}") from None


def _ignore(*_: object) -> None:
    """Nobody asked."""
