"""Encode: windows in, windows with their encodings out, in order. Batches form across windows and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

from pipelines.batch import Batcher
from pipelines.ordered import ordered
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


def encode(
    windows: AsyncIterator[Window], batchers: Mapping[str, Batcher], max_in_flight: int
) -> AsyncGenerator[EncodedWindow, None]:
    """At most `max_in_flight` windows are under way; `batchers` are by modality."""

    async def one(window: Window) -> EncodedWindow:
        chosen = select(window)
        futures = {
            stream: [batchers[packet.modality].submit(packet) for packet in packets]
            for stream, packets in chosen.items()
        }
        await asyncio.wait([future for row in futures.values() for future in row])  # shared: never cancelled from here
        return EncodedWindow(window, chosen, {stream: [f.result() for f in row] for stream, row in futures.items()})

    return ordered(windows, one, max_in_flight)
