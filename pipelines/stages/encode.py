"""Encode: windows in, windows with their encodings out, in order. Batches form across windows and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from pipelines.ahead import Ahead
from pipelines.batch import Batcher
from pipelines.packet import Packet
from pipelines.protocols import Encoded
from pipelines.select import select
from pipelines.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class EncodedWindow:
    """A window, the packets chosen from it, and what the mind made of each, by stream."""

    window: Window
    chosen: Mapping[str, list[Packet]]
    encoded: Mapping[str, list[Encoded]]


async def encode(
    windows: AsyncIterator[Window], batchers: Mapping[str, Batcher], max_in_flight: int
) -> AsyncGenerator[EncodedWindow, None]:
    """At most `max_in_flight` windows wait for the mind; `batchers` are by modality."""

    def submit(window: Window) -> tuple[Window, dict[str, list[Packet]], dict[str, list[asyncio.Future[Encoded]]]]:
        chosen = select(window)
        futures = {
            stream: [batchers[packet.modality].submit(packet) for packet in packets]
            for stream, packets in chosen.items()
        }
        return window, chosen, futures

    async with Ahead(windows, submit, max_in_flight) as under_way:
        while (begun := await under_way.next()) is not None:
            window, chosen, futures = begun
            waiting = [future for row in futures.values() for future in row if not future.done()]
            if waiting:
                await asyncio.wait(waiting)  # shared with other windows: never cancelled from here
            yield EncodedWindow(window, chosen, {stream: [f.result() for f in row] for stream, row in futures.items()})
