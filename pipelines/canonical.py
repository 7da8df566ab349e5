"""The canonical form of events, checked once, where a source hands them over.

Sources are written by many; what stands behind them - channels, windows, recorder, mind - is written once and trusts this. A
payload in another form is that packet's loss and is told as a Gap; an event that cannot even be placed ends its source. The
limits hold for live streams and for recordings alike: what was taken live, its replay takes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.errors import SourceError
from pipelines.packet import Bound, Event, Gap, Packet

TEXT_BYTES = 2**20
PICTURE_BYTES = 32 * 2**20
SOUND_BYTES = 32 * 2**20
RATES = (1_000, 768_000)
CHANNELS = 64
_INT16 = np.dtype(np.int16)
FURTHEST = 1 << 62
"""The last instant (and, negative, the first) that is a time, ns: year 2116. Ends of windows still fit 64 bits."""


class Door:
    """Where the events of one stream come in. A stream keeps the modality of its first packet."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._modality: str | None = None

    def check(self, event: Event) -> Event:
        """`event` itself; a text without lone surrogates in its place; or the Gap of a payload that nobody could use.

        Raises SourceError for what is no event, of another stream, or without a time: its source is broken, not one packet.
        """
        stream = self._stream
        if isinstance(event, Packet) and event.stream == stream and type(event.timestamp) is int:
            fault = _fault(event)
            if fault is None and event.modality != self._modality:
                if self._modality is None:
                    self._modality = event.modality
                else:
                    fault = f"{event.modality} on a stream of modality {self._modality}"
            if fault is not None:
                return Gap(stream, event.timestamp, event.timestamp + 1, f"unreadable: {fault}")
            return event if event.modality != "text" else _text(event)
        if not isinstance(event, Packet | Bound | Gap) or event.stream != stream:
            raise SourceError(f"{stream}: its source gave {event!r:.80}, which is no event of this stream")
        times = (event.start, event.end) if isinstance(event, Gap) else (event.timestamp,)
        if any(type(time) is not int for time in times):
            raise SourceError(f"{stream}: its source gave an event whose time is no whole number: {event!r:.80}")
        return event


def _fault(packet: Packet) -> str | None:
    if not -FURTHEST <= packet.timestamp <= FURTHEST:
        return f"its time, {packet.timestamp} ns, is none"
    check = _CHECKS.get(packet.modality)
    return check(packet) if check else f"modality {packet.modality!r:.20} is none of {', '.join(_CHECKS)}"


def _sound(packet: Packet) -> str | None:
    payload, rate = packet.payload, packet.rate
    if not isinstance(payload, np.ndarray) or payload.dtype != _INT16 or payload.ndim != 2:
        return "sound that is no int16 array of shape (samples, channels)"
    if type(rate) is not int or not RATES[0] <= rate <= RATES[1]:
        return f"sound at {rate!r:.20} samples per second is not between {RATES[0]} and {RATES[1]}"
    if not 0 < payload.shape[1] <= CHANNELS:
        return f"sound of {payload.shape[1]} channels is not between 1 and {CHANNELS}"
    return None if payload.nbytes <= SOUND_BYTES else _too_large("sound", payload.nbytes, SOUND_BYTES)


def _picture(packet: Packet) -> str | None:
    payload = packet.payload
    if not isinstance(payload, bytes) or packet.rate is not None:
        return f"a picture that is {type(payload).__name__}, at rate {packet.rate}; bytes without a rate are one"
    return None if len(payload) <= PICTURE_BYTES else _too_large("picture", len(payload), PICTURE_BYTES)


def _words(packet: Packet) -> str | None:
    payload = packet.payload
    if not isinstance(payload, str) or packet.rate is not None:
        return f"a text that is {type(payload).__name__}, at rate {packet.rate}; a str without a rate is one"
    return None if len(payload) <= TEXT_BYTES else _too_large("text", len(payload), TEXT_BYTES)


_CHECKS = {"image": _picture, "audio": _sound, "text": _words}


def _too_large(what: str, nbytes: int, limit: int) -> str:
    return f"{what} of {nbytes} bytes is over the limit of {limit}"


def _text(packet: Packet) -> Event:
    text = packet.payload
    if not isinstance(text, str) or text.isascii():
        return packet
    raw = text.encode("utf-8", "replace")
    if len(raw) > TEXT_BYTES:
        fault = _too_large("text", len(raw), TEXT_BYTES)
        return Gap(packet.stream, packet.timestamp, packet.timestamp + 1, f"unreadable: {fault}")
    return replace(packet, payload=raw.decode())
