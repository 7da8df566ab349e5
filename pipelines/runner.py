"""The runner: sources to moments, one TaskGroup, counters in one place.

A source that fails is reported and ends alone: live, its stream goes idle and shows as a gap; by event time, its stream is
closed, so that nobody waits for it. Whatever fails behind the merge ends the run, after everything in it was closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

from pipelines.batch import MAX_BATCH, Batcher
from pipelines.channel import Arrivals, Channel, ChannelLimits
from pipelines.clock import Clock
from pipelines.errors import SourceError
from pipelines.merge import Merged, merge_by_time, merge_live
from pipelines.moment import Moment
from pipelines.pace import pace
from pipelines.protocols import Mind, Source
from pipelines.stages.align import align
from pipelines.stages.encode import EncodedWindow, encode
from pipelines.stages.fuse import fuse
from pipelines.window import Windower

MODALITIES = ("image", "audio", "text")

Tap: TypeAlias = Callable[[AsyncIterator[Merged]], AsyncGenerator[Merged, None]]
Keep: TypeAlias = Callable[[AsyncIterator[tuple[EncodedWindow, Moment]]], AsyncGenerator[Moment, None]]
Trouble: TypeAlias = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How much may be under way. `speed`: a replay at that multiple of real time, None as fast as it goes."""

    max_in_flight: int = 64
    max_batch: int = MAX_BATCH
    speed: float | None = None
    limits: Mapping[str, ChannelLimits] = field(default_factory=dict)


class Runner:
    """One group of streams, from its sources to its moments.

    Args:
        sources: by stream.
        live: the clock may decide, in order of arrival; else by event time, lowest head first.
        bounds: disorder each stream admits, ns, as the windower has it; used by event time only.
        keep: the last stage: makes moments durable and hands them on.
        tap: stands in front of align and sees exactly what it takes (the recorder).
        trouble: told of a source that failed, by stream.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        windower: Windower,
        mind: Mind,
        keep: Keep,
        clock: Clock,
        live: bool,
        bounds: Mapping[str, int] | None = None,
        tap: Tap | None = None,
        trouble: Trouble = lambda stream, error: None,
        flow: Flow | None = None,
    ) -> None:
        self.moments = 0
        self.failed: dict[str, str] = {}
        self.batchers: dict[str, Batcher] = {}
        self._sources = sources
        self._windower = windower
        self._mind = mind
        self._keep = keep
        self._clock = clock
        self._live = live
        self._bounds = dict(bounds or {})
        self._tap = tap
        self._trouble = trouble
        self._flow = flow or Flow()
        self._arrivals = Arrivals()
        self._pumps: list[asyncio.Task[None]] = []
        self.channels = {
            stream: Channel(
                stream,
                overflow=source.overflow,
                clock=clock,
                limits=self._flow.limits.get(stream),
                arrivals=self._arrivals,
            )
            for stream, source in sources.items()
        }

    async def run(self, on_moment: Callable[[Moment], Awaitable[None] | None] = lambda moment: None) -> None:
        """Until every source has ended, or `stop` was called; then everything held is understood and kept first."""
        async with AsyncExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(len(MODALITIES) + 1, "mind"))
            for modality in MODALITIES:
                batcher = Batcher(self._mind.encode, executor=executor, max_batch=self._flow.max_batch)
                self.batchers[modality] = await stack.enter_async_context(batcher)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for stream, source in self._sources.items():
                self._pumps.append(group.create_task(self._pump(stream, source), name=f"source {stream}"))
            stages: AsyncIterator[Merged] = await stack.enter_async_context(aclosing(self._merge()))
            if self._flow.speed is not None:
                stages = await stack.enter_async_context(aclosing(pace(stages, self._clock, self._flow.speed)))
            if self._tap is not None:
                stages = await stack.enter_async_context(aclosing(self._tap(stages)))
            windows = await stack.enter_async_context(aclosing(align(stages, self._windower, self._clock)))
            in_flight = self._flow.max_in_flight
            encoded = await stack.enter_async_context(aclosing(encode(windows, self.batchers, in_flight)))
            moments = await stack.enter_async_context(aclosing(fuse(encoded, self._mind, executor, in_flight)))
            async for moment in await stack.enter_async_context(aclosing(self._keep(moments))):
                self.moments += 1
                told = on_moment(moment)
                if told is not None:
                    await told

    def stop(self) -> None:
        """End the watching; what has arrived is still aligned, understood and kept. Safe to call more than once."""
        for pump in self._pumps:
            pump.cancel()
        for channel in self.channels.values():
            channel.close(ended=False)

    def _merge(self) -> AsyncGenerator[Merged, None]:
        channels = list(self.channels.values())
        if self._live:
            return merge_live(channels, self._arrivals, self._clock)
        return merge_by_time(channels, self._arrivals, self._bounds)

    async def _pump(self, stream: str, source: Source) -> None:
        channel = self.channels[stream]
        ended = not self._live
        try:
            async with aclosing(source.events()) as events:
                async for event in events:
                    await channel.put(event)
            ended = True
        except asyncio.CancelledError:
            ended = False
            raise
        except Exception as error:  # one source never takes the others with it, whatever its author did
            self.failed[stream] = str(error)
            self._trouble(stream, error if isinstance(error, SourceError) else SourceError(f"{stream}: {error!r}"))
        finally:
            channel.close(ended=ended)
