"""What of a window is encoded, so that the result is a function of the window alone.

Pictures: per stream the newest frame of each full second. Sound: the stream's slice of the window on one sample grid that
begins at the window's start, however the source chunked it. Words: the stream's texts, joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.packet import SECOND, Packet
from pipelines.window import Window


def select(window: Window) -> dict[str, list[Packet]]:
    """The packets to encode, by stream; a stream without packets is absent."""
    return {
        stream: _CHOICE[packets[0].modality](window, packets) for stream, packets in window.packets.items() if packets
    }


def _pictures(window: Window, packets: Sequence[Packet]) -> list[Packet]:
    last = max((window.end - window.start) // SECOND - 1, 0)  # a rest shorter than a second belongs to the last one
    newest = {min((packet.timestamp - window.start) // SECOND, last): packet for packet in packets}
    return list(newest.values())


def _sound(window: Window, packets: Sequence[Packet]) -> list[Packet]:
    """One packet per format (rate, channels), holes filled with zeros: silence where nothing was heard, never glued over."""
    first = packets[0]
    if len(packets) == 1 and first.timestamp == window.start:
        return [first]
    formats: dict[tuple[int, int], list[Packet]] = {}
    for packet in packets:
        if isinstance(packet.payload, np.ndarray) and packet.rate is not None:
            formats.setdefault((packet.rate, packet.payload.shape[1]), []).append(packet)
    return [_on_grid(window, rate, channels, parts) for (rate, channels), parts in formats.items()]


def _on_grid(window: Window, rate: int, channels: int, parts: Sequence[Packet]) -> Packet:
    places = [((part.timestamp - window.start) * rate + SECOND // 2) // SECOND for part in parts]
    grid = np.zeros((max(at + len(part.payload) for at, part in zip(places, parts, strict=True)), channels), np.int16)
    for at, part in zip(places, parts, strict=True):
        grid[at : at + len(part.payload)] = part.payload
    return Packet(parts[0].stream, "audio", window.start, grid, rate)


def _words(window: Window, packets: Sequence[Packet]) -> list[Packet]:
    if len(packets) == 1:
        return [packets[0]]
    joined = " ".join(packet.payload for packet in packets if isinstance(packet.payload, str))
    return [Packet(packets[0].stream, "text", packets[0].timestamp, joined)]


_CHOICE = {"image": _pictures, "audio": _sound, "text": _words}
