"""From streams to one stream.

Live: in order of arrival, with a `Tick` once everything that had come by then was handed on, so that no stream is called
idle while it is held back. By event time: one cursor per stream, lowest head first, each far head told as a Bound, so that
a text of one line an hour does not make the windows of a camera wait.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeAlias

from pipelines.channel import Arrivals, Channel
from pipelines.clock import Clock
from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap
from pipelines.watermark import UNSEEN

TICK = 50 * MILLISECOND
FAR = SECOND // 4


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed and nothing older is held back."""


@dataclass(frozen=True, slots=True)
class Close:
    """The end of one stream."""

    stream: str


Merged: TypeAlias = Event | Tick | Close

_Head: TypeAlias = tuple[int, int, Event]
"""(event time, number of the channel, event); the numbers differ, so that events are never compared."""


async def merge_live(
    channels: Sequence[Channel], arrivals: Arrivals, clock: Clock, tick: int = TICK
) -> AsyncGenerator[Merged, None]:
    """Everything from `channels` in order of arrival, until all are closed and empty."""
    open_ = list(channels)
    due = clock.now() + tick
    while open_:
        now = clock.now()
        if now >= due:
            through = arrivals.count
            while (channel := _earliest(open_)) is not None and (channel.head or 0) <= through:
                yield channel.take()
            yield Tick()
            due = now + tick
        arrivals.event.clear()
        channel = _earliest(open_)
        if channel is not None:
            yield channel.take()
            continue
        for ended in [c for c in open_ if c.closed and c.head is None]:
            open_.remove(ended)
            if ended.ended:
                yield Close(ended.stream)
        if open_:
            await _wait(arrivals.event, max(due - clock.now(), 0))


async def merge_by_time(
    channels: Sequence[Channel], arrivals: Arrivals, bounds: Mapping[str, int]
) -> AsyncGenerator[Merged, None]:
    """Everything from `channels`, lowest head first; waits until every open channel shows a head."""
    heads: list[_Head] = []
    waiting = dict(enumerate(channels))
    while waiting:
        async with aclosing(_show(waiting, heads, arrivals, bounds)) as shown:
            async for told in shown:
                yield told
        while heads:
            _, number, event = heads[0]
            yield event
            channel = channels[number]
            try:
                event = channel.take()
            except IndexError:
                heapq.heappop(heads)
                waiting[number] = channel
                break
            at = _begin(event)
            heapq.heapreplace(heads, (at, number, event))
            if at - heads[0][0] > FAR and not isinstance(event, Gap):
                yield Bound(channel.stream, at - bounds.get(channel.stream, 0))


async def _show(
    waiting: dict[int, Channel], heads: list[_Head], arrivals: Arrivals, bounds: Mapping[str, int]
) -> AsyncGenerator[Merged, None]:
    """Wait until all that are `waiting` show a head or have ended, and tell the ends and the far heads."""
    fresh: list[tuple[str, int]] = []
    while waiting:
        arrivals.event.clear()
        for number, channel in list(waiting.items()):
            if channel.head is not None:
                event = channel.take()
                at = _begin(event)
                heapq.heappush(heads, (at, number, event))
                if not isinstance(event, Gap):  # a gap promises nothing about what comes behind it
                    fresh.append((channel.stream, at))
                del waiting[number]
            elif channel.closed:
                del waiting[number]
                if channel.ended:
                    yield Close(channel.stream)
        if waiting:
            await arrivals.event.wait()
    for stream, at in fresh:
        if at - heads[0][0] > FAR:
            yield Bound(stream, at - bounds.get(stream, 0))


def _begin(event: Event) -> int:
    """A Gap is passed on at once: it holds no data, and one that lies far away must not hold back what stands behind it."""
    return UNSEEN if isinstance(event, Gap) else event.timestamp


def _earliest(channels: Sequence[Channel]) -> Channel | None:
    best, lowest = None, None
    for channel in channels:
        head = channel.head
        if head is not None and (lowest is None or head < lowest):
            best, lowest = channel, head
    return best


async def _wait(event: asyncio.Event, nanoseconds: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(nanoseconds / SECOND):
            await event.wait()
