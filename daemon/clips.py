"""Thumbnails and short sounds that are kept beside a moment, so that people can see and hear why it was found."""

from __future__ import annotations

import io
import wave
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from daemon import picture
from pipelines.moment import media_reference
from pipelines.packet import Packet
from pipelines.stages.encode import EncodedWindow
from pipelines.store import Clip

SIDE = 320
"""The longer side of a thumbnail, in pixels."""

RATE = 16_000
"""Samples per second of a clip; it is mono."""

RECENT = 64


class Clips:
    """Makes the clips of a window. The few it made last are not made again: overlapping windows share their pictures.

    One thread at a time.
    """

    def __init__(self) -> None:
        self._recent: OrderedDict[str, Clip | None] = OrderedDict()

    def __call__(self, item: EncodedWindow) -> Mapping[str, Clip]:
        """By reference, as the moment names them; what cannot be read has none."""
        clips: dict[str, Clip] = {}
        for packets in item.chosen.values():
            reference = media_reference(packets[-1])
            if reference is None:
                continue
            if reference not in self._recent:
                self._recent[reference] = _clip(packets[-1])
                if len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
            clip = self._recent[reference]
            if clip is not None:
                clips[reference] = clip
        return clips


def no_clips(item: EncodedWindow) -> Mapping[str, Clip]:
    """For a store without thumbnails."""
    return {}


def _clip(packet: Packet) -> Clip | None:
    if isinstance(packet.payload, bytes):
        try:
            return Clip("image/jpeg", _thumbnail(packet.payload))
        except picture.PictureError:
            return None
    if isinstance(packet.payload, np.ndarray) and packet.rate:
        return Clip("audio/wav", _wave(packet))
    return None


def _thumbnail(jpeg: bytes) -> bytes:
    height, width = picture.jpeg_size(jpeg)
    if max(height, width) <= SIDE:
        return jpeg
    import cv2

    full = picture.decode(jpeg)
    scale = SIDE / max(full.shape[:2])
    size = (max(round(full.shape[1] * scale), 1), max(round(full.shape[0] * scale), 1))
    return picture.encode(np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA), np.uint8), quality=80)


def _wave(packet: Packet) -> bytes:
    import soxr

    payload, rate = np.asarray(packet.payload), int(packet.rate or RATE)
    if (payload.shape[1], rate) == (1, RATE):
        pcm = payload.astype("<i2", copy=False)
    else:
        mono = payload.mean(axis=1, dtype=np.float32)  # (n, channels) -> (n,)
        mono = soxr.resample(mono, rate, RATE, quality="MQ")
        pcm = np.clip(np.round(mono), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm.tobytes())
    return file.getvalue()
