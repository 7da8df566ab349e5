"""Build: where the parts are put together. Wiring only; every part is made and tested elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from connectors.recording.recorder import Recorder
from connectors.recording.replay import Recording
from connectors.recording.schema import Alignment
from daemon import logs
from daemon.clips import Clips, no_clips
from daemon.config import Config, ConfigError, Mistake, Stream
from daemon.registry import Registry
from pipelines.channel import ChannelLimits
from pipelines.clock import Clock
from pipelines.errors import StoreError
from pipelines.group import Group
from pipelines.moment import Moment
from pipelines.packet import Packet
from pipelines.protocols import Mind, Sink, Source
from pipelines.runner import Runner
from pipelines.stages.encode import EncodedWindow
from pipelines.stages.keep import keep
from pipelines.store import Outbox, Retention, Store
from pipelines.window import REFUSED, Cut, StreamTime, Windower

QUEUE = 256
"""Puts that may wait for the writer of the store; more windows than this are never in flight, so a put never blocks."""

DISK_SECONDS = 1.0
"""Between two looks at whether the store can write."""


class Pipeline:
    """One group, from its sources to its sinks."""

    def __init__(self, *, runner: Runner, store: Store, outbox: Outbox) -> None:
        self.runner = runner
        self.store = store
        self.outbox = outbox

    async def run(
        self,
        on_moment: Callable[[Moment], Awaitable[None] | None] = lambda moment: None,
        *,
        drain: float | None = None,
        attempts: int | None = None,
        patience: float | None = None,
    ) -> bool:
        """Until the sources have ended or were stopped, then until every sink has everything, for `drain` seconds at most.

        A sink that then fails `attempts` times on end is not waited for. Returns whether every sink has everything; what is
        left stays in the store for the next run. Raises StoreError, in a group, when the disk takes nothing for `patience`
        seconds (None: it is waited for).
        """
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(patience), name="disk")
            group.create_task(self.outbox.run(), name="outbox")  # cancelled once, by the group: it has sinks to close
            await asyncio.sleep(0)
            try:
                await self.runner.run(on_moment)
                return await self.outbox.drain(drain, attempts=attempts)
            finally:
                watching.cancel()

    async def _watch(self, patience: float | None) -> None:
        """Say when the store can write nothing, and when it can again."""
        since: float | None = None
        while True:
            await asyncio.sleep(DISK_SECONDS)
            now, reason = time.monotonic(), self.store.blocked
            if reason is None and since is not None:
                since = None
                logs.logger().info("store.unblocked")
            elif reason is not None and since is None:
                since = now
                logs.logger().error("store.blocked", reason=reason)
            if reason is not None and since is not None and patience is not None and now - since >= patience:
                raise StoreError(f"{self.store.directory}: {reason}; what is stored is safe, the same command goes on there")

    def stop(self) -> None:
        """End the watching; what has arrived is still understood, kept and delivered."""
        self.runner.stop()


@contextmanager
def pipeline(
    config: Config, group: Group, mind: Mind, *, clock: Clock, registry: Registry | None = None
) -> Iterator[Pipeline]:
    """The parts of one run, opened and closed in order. Raises StoreError, RegistryError."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(config.store.path, retention=retention(config), sinks=tuple(config.sinks)))
        if store.notice is not None:
            logs.logger().error("store.quarantined", notice=store.notice)
        executor = stack.enter_context(ThreadPoolExecutor(1, "clips"))
        clips = Clips() if config.store.thumbnails else no_clips
        in_flight = min(max(config.mind.batch_size * 2, 16), QUEUE)

        def kept(moments: AsyncIterator[tuple[EncodedWindow, Moment]]) -> AsyncGenerator[Moment, None]:
            return keep(moments, store=store, clips=clips, clock=clock, executor=executor, max_in_flight=in_flight)

        runner = Runner(
            group=group, mind=mind, keep=kept, max_in_flight=in_flight, max_batch=config.mind.batch_size
        )  # fmt: skip
        yield Pipeline(runner=runner, store=store, outbox=Outbox(store, sinks(config, registry)))


@contextmanager
def configured(config: Config, *, clock: Clock, registry: Registry | None = None) -> Iterator[Group]:
    """What config.yaml describes: live devices, or files by event time; recorded where it says so.

    Raises RegistryError, SourceError, RecordingError.
    """
    registry = registry or Registry.installed()
    sources: dict[str, Source] = {
        name: registry.find("source", stream.type).create(name, options=stream.options, clock=clock)
        for name, stream in config.streams.items()
    }
    live = config.mode == "live"
    opened = -(-clock.now() // config.align.hop) * config.align.hop if live else None  # where the next window begins
    times = {name: stream_time(config, stream, live=live) for name, stream in config.streams.items()}
    with ExitStack() as stack:
        recorder = None
        if config.record.path is not None:
            recorder = _recorder(config, config.record.path, times, clock, opened)
            stack.callback(recorder.close)
        yield Group(
            sources=sources,
            windower=windower(config, times, live=live, recorder=recorder),
            clock=clock,
            live=live,
            bounds={name: time.bound for name, time in times.items()},
            limits={name: channel_limits(stream) for name, stream in config.streams.items()},
            overflows={
                name: stream.channel.overflow for name, stream in config.streams.items() if stream.channel.overflow
            },
            since=opened,
            tap=recorder.tap if recorder is not None else None,
            trouble=_trouble,
        )


def replayed(
    config: Config, recording: Recording, *, clock: Clock, overridden: bool = False, speed: float | None = None
) -> Group:
    """A recording by event time, aligned as when it was made; `overridden`: as config says, without its cuts."""
    recorded = None if overridden else recording.alignment
    names = [name for name, stream in recording.streams.items() if stream.modality is not None or recorded]
    if recorded is not None:
        times = {name: recorded.streams.get(name, StreamTime()) for name in names}
        made = Windower(
            length=recorded.length, hop=recorded.hop, streams=times, group=recorded.group, lateness=recorded.lateness,
            cuts=recording.cuts or [], late=_late,
        )  # fmt: skip
    else:
        times = {name: StreamTime() for name in names}
        made = Windower(
            length=config.align.length, hop=config.align.hop, streams=times, group=config.group, late=_late
        )  # fmt: skip
    return Group(
        sources={name: recording.source(name) for name in names},
        windower=made,
        clock=clock,
        live=False,
        bounds={name: time.bound for name, time in times.items()},
        since=recorded.opened if recorded is not None else None,
        speed=speed,
        trouble=_trouble,
    )


def require_streams(config: Config) -> None:
    """Raises ConfigError where there is nothing to watch."""
    if not config.streams:
        raise ConfigError((Mistake("streams", "no stream is configured; config.yaml in the repository shows how"),))


async def count_windows(group: Group) -> int:
    """Let a group run for its recording's sake: its windows are made, because the clock's decisions are recorded."""
    async with group.windows() as windows:
        return len([None async for _ in windows])


def sinks(config: Config, registry: Registry | None = None) -> dict[str, Sink]:
    """The configured sinks by name."""
    registry = registry or Registry.installed()
    return {name: registry.find("sink", sink.type).create(options=sink.options) for name, sink in config.sinks.items()}


def retention(config: Config) -> Retention:
    """What the store keeps."""
    kept = config.store.retention
    return Retention(
        max_age=kept.age,
        max_bytes=kept.bytes,
        when_full=kept.when_full,
        media_age=kept.media_age,
        media_bytes=kept.media_bytes,
    )


def channel_limits(stream: Stream) -> ChannelLimits:
    """Bounds of the channel behind one source."""
    given = stream.channel
    return ChannelLimits(given.items, given.bytes, given.age if given.age is not None else ChannelLimits().age)


def stream_time(config: Config, stream: Stream, *, live: bool) -> StreamTime:
    """How the windower reads one stream's time."""
    idle_after = stream.idle_after if stream.idle_after is not None else config.align.idle_after
    return StreamTime(bound=stream.bound, idle_after=idle_after if live else None, holds=stream.holds)


def windower(
    config: Config, times: Mapping[str, StreamTime], *, live: bool, recorder: Recorder | None = None
) -> Windower:
    """Live, the clock may decide; by event time it may not, so that a backlog is never late."""
    align = config.align

    def late(packet: Packet, reason: str) -> None:
        _late(packet, reason)
        if recorder is not None and reason in REFUSED:
            recorder.refused(packet.stream, made.counters[packet.stream].received)

    def on_cut(cut: Cut) -> None:
        if recorder is not None:
            recorder.cut(cut)

    common: dict[str, Any] = {
        "length": align.length, "hop": align.hop, "streams": times, "group": config.group,
        "late": late, "on_cut": on_cut,
    }  # fmt: skip
    if live:
        made = Windower(
            **common, lateness=align.lateness, deadline=align.deadline, max_ahead=align.max_ahead,
            budget_bytes=align.budget,
        )  # fmt: skip
    else:
        made = Windower(**common)
    return made


def _recorder(
    config: Config, path: Path, times: Mapping[str, StreamTime], clock: Clock, opened: int | None
) -> Recorder:
    alignment = Alignment(
        length=config.align.length, hop=config.align.hop, streams=times, group=config.group,
        lateness=config.align.lateness, opened=opened,
    )  # fmt: skip
    return Recorder(
        path,
        clock=clock,
        alignment=alignment,
        on_error=lambda error: logs.logger().error("recording.failed", reason=str(error)),
    )


def _late(packet: Packet, reason: str) -> None:
    logs.logger().debug("packet.late", stream=packet.stream, reason=reason, timestamp=packet.timestamp)


def _trouble(stream: str, error: Exception) -> None:
    logs.logger().error("source.failed", stream=stream, reason=str(error))
