"""One replay, from an open recording to moments that every sink has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.recording.replay import Recording
from daemon import build
from daemon.config import Config, Sink
from daemon.registry import Registry, RegistryError
from pipelines.clock import BootClock
from pipelines.moment import Moment
from pipelines.packet import SECOND
from pipelines.protocols import Mind

ATTEMPTS = 5
"""Failures on end after which a replay no longer waits for a sink: nobody may be there to mend it."""

PATIENCE = 10.0
"""Seconds that a full disk is waited for, for the same reason."""


@dataclass(slots=True)
class Outcome:
    """What a replay did.

    Attributes:
        moments: that came out of it; `stored` of them were new.
        seconds: it took; `covered` seconds of event time the moments span.
        late, refused: packets that no window took, by stream.
        troubles: what could not be read, in sentences for people.
    """

    moments: int = 0
    stored: int = 0
    seconds: float = 0.0
    covered: float = 0.0
    late: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Multiple of real time."""
        return self.covered / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{self.moments} moments of {self.covered:.0f} s in {self.seconds:.1f} s ({self.speed:.0f} × real time)"
        ]
        if self.stored < self.moments:
            parts.append(f"{self.moments - self.stored} were stored already")
        parts += [f"{stream}: {count} late" for stream, count in self.late.items() if count]
        parts += [f"{stream}: {count} refused" for stream, count in self.refused.items() if count]
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "moments": self.moments,
            "stored": self.stored,
            "seconds": round(self.seconds, 3),
            "speed": round(self.speed, 1),
            "late": self.late,
            "refused": self.refused,
            "troubles": self.troubles,
            "notices": self.notices,
        }


def with_sinks(config: Config, specs: tuple[str, ...], registry: Registry | None = None) -> Config:
    """`config` with the sinks that a command line named instead of its own.

    A name is what a cursor in the store belongs to: the same sink goes on where it was. A file is named by its full path, so
    that the same words in another folder are another file. Raises RegistryError.
    """
    if not specs:
        return config
    registry = registry or Registry.installed()
    named: dict[str, Sink] = {}
    for spec in specs:
        kind, options = registry.spec("sink", spec)
        options, wrong = registry.find("sink", kind).check(options)
        if wrong:
            raise RegistryError(f"--sink {spec}: {wrong[0][1]}; write it behind a colon, as in jsonl:moments.jsonl")
        if "path" in options:
            options["path"] = Path(str(options["path"])).expanduser().absolute()
        named[":".join([kind, *map(str, options.values())])] = Sink(type=kind, options=options)
    return replace(config, sinks=named)


def replay(
    config: Config,
    recording: Recording,
    mind: Mind,
    *,
    speed: float | None = None,
    overridden: bool = False,
    on_moment: Callable[[Moment], None] = lambda moment: None,
) -> Outcome:
    """Run it to its end; returns when every sink has everything, or keeps failing.

    Ctrl-C leaves what is stored for the next time.
    """
    outcome = Outcome()
    if overridden and recording.cuts:
        outcome.notices.append(f"aligned anew: the {len(recording.cuts)} decisions of the recorded run are dropped")
    clock = BootClock()
    group = build.replayed(config, recording, clock=clock, overridden=overridden, speed=speed)
    span: list[int] = []

    def told(moment: Moment) -> None:
        span[:] = [min([*span[:1], moment.start]), max([*span[1:], moment.end])]
        on_moment(moment)

    begun = time.monotonic()
    with build.pipeline(config, group, mind, clock=clock) as pipeline:
        for name, sink in config.sinks.items():
            if isinstance(path := sink.options.get("path"), Path) and not path.exists():
                pipeline.store.rewind(name).result()  # a file that is not there has nothing yet, or nothing any more
        asyncio.run(pipeline.run(told, attempts=ATTEMPTS, patience=PATIENCE))
        outcome.stored = pipeline.store.statistics().stored
        outcome.moments = pipeline.runner.moments
        sinks = pipeline.outbox.state()
    outcome.seconds = time.monotonic() - begun
    outcome.covered = (span[1] - span[0]) / SECOND if span else 0.0
    for stream, counts in group.windower.counters.items():
        outcome.late[stream], outcome.refused[stream] = counts.late, counts.refused
    for stream, recorded in recording.streams.items():
        outcome.refused[stream] = outcome.refused.get(stream, 0) + len(recording.refused.get(stream, ()))
        if recorded.packets and recording.unreadable[stream]:
            outcome.troubles.append(
                f"{recording.path}: {recording.unreadable[stream]} packets of {stream} could not be read; shown as gaps"
            )
    outcome.troubles += recording.damage
    outcome.troubles += [f"{stream} ended early: {reason}" for stream, reason in group.failed.items()]
    for name, state in sinks.items():
        if state.rejected:
            outcome.troubles.append(f"sink {name} rejected {state.rejected} moments; they are dead letters")
        if state.lag:
            outcome.troubles.append(
                f"sink {name}: {state.last_error}; {state.lag} moments wait in the store, the same command delivers them"
            )
    if recording.ignored:
        outcome.notices += [f"not replayed: {topic} ({why})" for topic, why in recording.ignored.items()]
    return outcome
