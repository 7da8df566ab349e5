"""What of a window is encoded, so that the result is a function of the window alone.

Pictures: per stream the newest frame of each full second. Sound: the stream's slice of the window on one sample grid that
begins at the window's start, however the source chunked it. Words: the stream's texts, joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.packet import MILLISECOND, SECOND, Packet
from pipelines.window import Window

SEAM = MILLISECOND
"""How far a part of a sound may lie from the end of the last one and still be its continuation."""


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
    places = _places(window.start, rate, parts)
    grid = np.zeros((max(at + len(part.payload) for at, part in zip(places, parts, strict=True)), channels), np.int16)
    for at, part in zip(places, parts, strict=True):
        grid[at : at + len(part.payload)] = part.payload
    return Packet(parts[0].stream, "audio", window.start, grid, rate)


def _places(start: int, rate: int, parts: Sequence[Packet]) -> list[int]:
    """Number of each part's first sample from `start`. A part goes on behind the last one where its time says so, to SEAM:
    rounded each for itself, floored times would tear a sample out, or put one in, wherever the source's chunks begin."""
    places: list[int] = []
    time, place, behind = 0, 0, 0  # of the part that began the unbroken stretch; the first place behind the last part
    for part in parts:
        if not places or abs(part.timestamp - time - (behind - place) * SECOND // rate) > SEAM:
            time = part.timestamp
            place = behind = max(((time - start) * rate + SECOND // 2) // SECOND, 0)
        places.append(behind)
        behind += len(part.payload)
    return places


def _words(window: Window, packets: Sequence[Packet]) -> list[Packet]:
    if len(packets) == 1:
        return [packets[0]]
    joined = " ".join(packet.payload for packet in packets if isinstance(packet.payload, str))
    return [Packet(packets[0].stream, "text", packets[0].timestamp, joined)]


_CHOICE = {"image": _pictures, "audio": _sound, "text": _words}
