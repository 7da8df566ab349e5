"""Packets to messages and back: the payloads of a recording.

What our own recorder wrote comes back as it was. What others wrote is brought into the canonical form here, at the capture
edge: PNG becomes JPEG (quality 90), other sample formats become int16. What cannot be read raises Unreadable, with a reason
for a person; nothing else leaves this module.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from connectors.recording.messages import INFO, MESSAGE_TYPES, PICTURE, SOUND
from connectors.recording.schema import MODALITY_OF, SCHEMA_OF
from pipelines.canonical import CHANNELS, PICTURE_BYTES, RATES, SOUND_BYTES, TEXT_BYTES
from pipelines.packet import SECOND, Modality, Packet

_INT64 = 2**63
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_QUALITY = 90


class Unreadable(Exception):  # noqa: N818 - a finding about one message, counted by the replay, never an error of ours
    """One message that cannot become a packet; its text says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one payload may be at most; a larger one is refused, told as a Gap, and costs no memory.

    Attributes:
        text_bytes: of one text in UTF-8.
        picture_bytes: of one compressed picture.
        sound_bytes: of one packet of samples.
        pixels: of a picture that must be decoded here (PNG); JPEG is handed on unopened.
    """

    text_bytes: int = TEXT_BYTES
    picture_bytes: int = PICTURE_BYTES
    sound_bytes: int = SOUND_BYTES
    pixels: int = 64_000_000

    def payload(self, modality: Modality) -> int:
        return {"text": self.text_bytes, "image": self.picture_bytes, "audio": self.sound_bytes}[modality]

    def message(self, modality: Modality, encoding: str) -> int:
        """Of the whole encoded message: JSON writes bytes as base64, and a letter as up to six characters."""
        growth = 1 if encoding != "json" else 6 if modality == "text" else 2
        return self.payload(modality) * growth + 65_536


def encode(packet: Packet) -> bytes:
    """The protobuf message of a packet. Raises Unreadable for a payload that is not in canonical form."""
    name = SCHEMA_OF.get(packet.modality)
    if name is None:
        raise Unreadable(f"modality {packet.modality!r} is none of image, audio, text")
    message = MESSAGE_TYPES[name]()
    seconds, nanos = divmod(packet.timestamp, SECOND)
    message.timestamp.seconds = min(max(seconds, -_INT64), _INT64 - 1)
    message.timestamp.nanos = nanos
    payload = packet.payload
    if packet.modality == "image" and isinstance(payload, bytes):
        message.data = payload
        message.format = b"jpeg"
        message.frame_id = packet.stream.encode("utf-8", "replace")
    elif packet.modality == "text" and isinstance(payload, str):
        message.message = payload.encode("utf-8", "replace")
        message.name = packet.stream.encode("utf-8", "replace")
        message.level = INFO
    elif packet.modality == "audio" and isinstance(payload, np.ndarray) and payload.dtype == np.int16:
        if payload.ndim != 2 or not packet.rate:
            raise Unreadable(
                f"sound of shape {payload.shape} at {packet.rate} Hz is not (samples, channels) with a rate"
            )
        message.data = payload.astype("<i2", copy=False).tobytes()
        message.format = b"pcm-s16"
        message.sample_rate = packet.rate
        message.number_of_channels = payload.shape[1]
    else:
        raise Unreadable(f"a {type(payload).__name__} is no canonical payload of modality {packet.modality}")
    encoded: bytes = message.SerializeToString()
    return encoded


def decode(
    data: bytes, *, schema: str, encoding: str, stream: str, sequence: int, fallback: int, limits: Limits
) -> Packet:
    """A packet from the bytes of one message. `fallback` is its event time where the message itself has none."""
    fields = _from_json(data) if encoding == "json" else _from_protobuf(data, schema)
    timestamp = fields.get("timestamp")
    if timestamp is None:
        timestamp = fallback
    modality = MODALITY_OF[schema]
    if schema == SOUND:
        samples, rate = _samples(fields, limits)
        return Packet(stream, modality, timestamp, samples, rate, sequence)
    if schema == PICTURE:
        return Packet(stream, modality, timestamp, _picture(fields, limits), None, sequence)
    text = fields.get("message", b"")
    if len(text) > limits.text_bytes:
        raise Unreadable(f"text of {len(text)} bytes is over the limit of {limits.text_bytes}")
    return Packet(stream, modality, timestamp, text.decode("utf-8", "replace"), None, sequence)


def _from_protobuf(data: bytes, schema: str) -> dict[str, Any]:
    try:
        message = MESSAGE_TYPES[schema].FromString(data)
    except DecodeError as error:
        raise Unreadable(f"message is no {schema}") from error
    fields = {field.name: value for field, value in message.ListFields()}
    if "timestamp" in fields:
        fields["timestamp"] = message.timestamp.seconds * SECOND + message.timestamp.nanos
    return fields


def _from_json(data: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(data.decode("utf-8", "replace"))
        fields = dict(loaded)
        if (time := fields.pop("timestamp", None)) is not None:
            fields["timestamp"] = int(time["sec"]) * SECOND + int(time["nsec"])
        if "data" in fields:
            fields["data"] = base64.b64decode(fields["data"], validate=True)
        for key in ("message", "format"):
            if key in fields:
                fields[key] = fields[key].encode("utf-8", "replace")
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error, RecursionError, OverflowError) as error:
        raise Unreadable(f"JSON message cannot be read: {error!r:.80}") from error
    return fields


def _picture(fields: Mapping[str, Any], limits: Limits) -> bytes:
    data: bytes = fields.get("data", b"")
    if len(data) > limits.picture_bytes:
        raise Unreadable(f"picture of {len(data)} bytes is over the limit of {limits.picture_bytes}")
    named = fields.get("format", b"").decode("utf-8", "replace")
    if data.startswith(_JPEG_MAGIC):
        return data
    if data.startswith(_PNG_MAGIC):
        return _jpeg_from_png(data, limits)
    if named in ("jpeg", "jpg"):
        return data  # as it was recorded: the mind says that it cannot be read, and its moment shows it
    raise Unreadable(f"picture of format {named!r:.20} is neither JPEG nor PNG")


def _jpeg_from_png(data: bytes, limits: Limits) -> bytes:
    import cv2

    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not 0 < width * height <= limits.pixels:
        raise Unreadable(f"PNG of {width}×{height} is not between 1 and {limits.pixels} pixels")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        done, jpeg = (
            (False, None) if image is None else cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        )
    except cv2.error as error:
        raise Unreadable("PNG cannot be decoded") from error
    if not done or jpeg is None:
        raise Unreadable("PNG cannot be decoded")
    return jpeg.tobytes()


def _float_samples(data: bytes) -> NDArray[np.int16]:
    samples = np.frombuffer(data, "<f4")
    if not np.isfinite(samples).all():
        raise Unreadable("sound has samples that are not numbers")
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


_FORMATS: Mapping[str, tuple[int, Callable[[bytes], NDArray[np.int16]]]] = {
    "pcm-s16": (2, lambda data: np.frombuffer(data, "<i2").astype(np.int16)),
    "pcm-u8": (1, lambda data: (np.frombuffer(data, np.uint8).astype(np.int16) - 128) * 256),
    "pcm-s32": (4, lambda data: (np.frombuffer(data, "<i4") >> 16).astype(np.int16)),
    "pcm-f32": (4, _float_samples),
}


def _samples(fields: Mapping[str, Any], limits: Limits) -> tuple[NDArray[np.int16], int]:
    data: bytes = fields.get("data", b"")
    if len(data) > limits.sound_bytes:
        raise Unreadable(f"sound of {len(data)} bytes is over the limit of {limits.sound_bytes}")
    named = fields.get("format", b"").decode("utf-8", "replace")
    rate, channels = fields.get("sample_rate", 0), fields.get("number_of_channels", 0)
    if named not in _FORMATS:
        raise Unreadable(f"sound of format {named!r:.20} is none of {', '.join(_FORMATS)}")
    if not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
        raise Unreadable(f"sound at {rate!r:.20} samples per second is not between {RATES[0]} and {RATES[1]}")
    if not isinstance(channels, int) or not 0 < channels <= CHANNELS:
        raise Unreadable(f"sound of {channels!r:.20} channels is not between 1 and {CHANNELS}")
    width, convert = _FORMATS[named]
    if len(data) % (width * channels):
        raise Unreadable(f"{len(data)} bytes of {named} are no whole number of samples of {channels} channels")
    return convert(data).reshape(-1, channels), rate  # (samples * channels,) -> (samples, channels)
