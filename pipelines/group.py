"""A group of streams, from their sources to their windows, every source in its own task behind its own channel.

A source that fails is reported and ends alone: live, its stream goes idle and shows as a gap; by event time, its stream is
closed, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TypeAlias

from pipelines.canonical import Door
from pipelines.channel import Arrivals, Channel, ChannelLimits
from pipelines.clock import Clock
from pipelines.errors import SourceError
from pipelines.merge import Merged, merge_by_time, merge_live
from pipelines.pace import pace
from pipelines.packet import SECOND
from pipelines.protocols import Overflow, Source
from pipelines.stages.align import align
from pipelines.window import Window, Windower

Tap: TypeAlias = Callable[[AsyncIterator[Merged]], AsyncGenerator[Merged, None]]
Trouble: TypeAlias = Callable[[str, Exception], None]


class Group:
    """Streams that become one moment: from their sources to their windows.

    Args:
        sources: by stream.
        live: the clock may decide, in order of arrival; else by event time, lowest head first.
        bounds: disorder each stream admits, ns, as the windower has it; used by event time only.
        limits: of the channels, by stream.
        overflows: instead of what a source asks for, by stream.
        since: when this live run, or the one a recording holds, was opened, a multiple of the hop: windows that begin
            before it are dropped, and a live run does not open its sources before it, so that nothing is lost with them.
        speed: of a replay, as a multiple of real time; None is as fast as it goes.
        tap: stands in front of align and sees exactly what it takes (the recorder).
        trouble: told of a source that failed, by stream.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        windower: Windower,
        clock: Clock,
        live: bool,
        bounds: Mapping[str, int] | None = None,
        limits: Mapping[str, ChannelLimits] | None = None,
        overflows: Mapping[str, Overflow] | None = None,
        since: int | None = None,
        speed: float | None = None,
        tap: Tap | None = None,
        trouble: Trouble = lambda stream, error: None,
    ) -> None:
        self.windower = windower
        self.failed: dict[str, str] = {}
        self._sources = sources
        self._clock = clock
        self._live = live
        self._bounds = dict(bounds or {})
        self._since = since
        self._speed = speed
        self._tap = tap
        self._trouble = trouble
        self._arrivals = Arrivals()
        self._pumps: list[asyncio.Task[None]] = []
        self.channels = {
            stream: Channel(
                stream,
                overflow=(overflows or {}).get(stream, source.overflow),
                clock=clock,
                limits=(limits or {}).get(stream),
                arrivals=self._arrivals,
            )
            for stream, source in sources.items()
        }

    @asynccontextmanager
    async def windows(self) -> AsyncIterator[AsyncIterator[Window]]:
        """The windows, until every source has ended or `stop` was called; everything is closed on the way out."""
        async with AsyncExitStack() as stack:
            if self._live and self._since is not None:
                await asyncio.sleep(max(self._since - self._clock.now(), 0) / SECOND)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for stream, source in self._sources.items():
                if self.channels[stream].closed:
                    break  # stopped before it began
                self._pumps.append(tasks.create_task(self._pump(stream, source), name=f"source {stream}"))
            stack.callback(self.stop)
            events: AsyncGenerator[Merged, None] = await stack.enter_async_context(aclosing(self._merge()))
            if self._speed is not None:
                events = await stack.enter_async_context(aclosing(pace(events, self._clock, self._speed)))
            if self._tap is not None:
                events = await stack.enter_async_context(aclosing(self._tap(events)))
            yield await stack.enter_async_context(aclosing(align(events, self.windower, self._clock, self._since)))

    def stop(self) -> None:
        """End the watching; what has arrived is still aligned. May be called more than once."""
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
        channel, door = self.channels[stream], Door(stream)
        ended = not self._live
        try:
            async with aclosing(source.events()) as events:
                async for given in events:
                    event = door.check(given)
                    if not channel.offer(event):
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
