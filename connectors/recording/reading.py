"""From messages to events: what one stream of a recording becomes, and what the JSON channels say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from connectors.recording.blocks import Message
from connectors.recording.codec import Limits, Unreadable, decode
from connectors.recording.index import Index
from connectors.recording.schema import BOUND, MODALITY_OF
from pipelines.packet import Bound, Event, Gap, Packet
from pipelines.windowing.cut import Cut, Reason

_CONTROL_LIMIT = 2**20
ENCODINGS = ("protobuf", "json")


class Reader:
    """Turns the messages of one stream into events; its counters belong to one pass over the file."""

    def __init__(
        self,
        index: Index,
        stream: str,
        *,
        refused: frozenset[int],
        limits: Limits,
        damage: list[str],
        unreadable: Counter[str],
    ) -> None:
        """`damage` and `unreadable` belong to the recording; findings are added to them."""
        self._index = index
        self._stream = stream
        self._channels = stream_channels(index, stream)
        self._refused = refused
        self._limits = limits
        self._damage = damage
        self._unreadable = unreadable
        self._count = 0
        self._sent = 0
        self._end: int | None = None
        self.lost_some = False
        """Set where messages may be missing before the next one: the next packet is then preceded by a Gap."""

    def read(self, message: Message) -> list[Event]:
        if message.channel not in self._channels:
            return self._known_beside(message)
        self._count += 1
        if self._damage and message.sequence:
            self._count = message.sequence  # messages are missing before it; ours carry their count
        if self._count in self._refused:
            return []
        try:
            packet = decode_message(self._index, message, self._stream, self._sent, self._limits)
        except Unreadable as reason:
            self._unreadable[self._stream] += 1
            time = message.publish_time or message.log_time
            return [Gap(self._stream, time, time + 1, f"unreadable: {reason}")]
        self._sent += 1
        events: list[Event] = [packet]
        if self.lost_some and self._end is not None and packet.timestamp > self._end:
            events.insert(0, Gap(self._stream, self._end, packet.timestamp, "the recording is damaged"))
        self.lost_some = False
        self._end = packet.end
        return events

    def _known_beside(self, message: Message) -> list[Event]:
        topic = self._index.channels[message.channel].topic
        try:
            fields = control_fields(message)
            if fields.get("stream") != self._stream:
                return []
            if topic == BOUND:
                return [Bound(self._stream, integer(fields, "timestamp"))]
            return [Gap(self._stream, integer(fields, "start"), integer(fields, "end"), str(fields.get("reason", "")))]
        except ValueError as error:
            note(self._damage, f"a message on {topic} cannot be read: {error}")
            return []


def note(damage: list[str], finding: str) -> None:
    """Add a finding unless it is there already: every cursor passes the same damage."""
    if finding not in damage:
        damage.append(finding)


def stream_channels(index: Index, stream: str) -> frozenset[int]:
    """Ids of the channels that carry a stream: those of its topic that are of the kind of the first of them."""
    found = [
        (channel.id, index.schemas[channel.schema_id].name)
        for channel in index.channels.values()
        if channel.topic == stream
        and channel.message_encoding in ENCODINGS
        and channel.schema_id in index.schemas
        and index.schemas[channel.schema_id].name in MODALITY_OF
    ]
    return frozenset(identifier for identifier, name in found if name == found[0][1])


def message_limits(index: Index, channels: frozenset[int], limits: Limits) -> dict[int, int]:
    found = {}
    for identifier in channels:
        channel = index.channels[identifier]
        modality = MODALITY_OF[index.schemas[channel.schema_id].name]
        found[identifier] = limits.message(modality, channel.message_encoding)
    return found


def control_channels(index: Index, *topics: str) -> dict[int, int]:
    return {
        channel.id: _CONTROL_LIMIT
        for channel in index.channels.values()
        if channel.topic in topics and channel.message_encoding == "json"
    }


def decode_message(index: Index, message: Message, stream: str, sequence: int, limits: Limits) -> Packet:
    channel = index.channels[message.channel]
    schema = index.schemas[channel.schema_id].name
    if message.data is None:
        raise Unreadable(f"message of {message.size} bytes is over the limit for {MODALITY_OF[schema]}")
    return decode(
        message.data,
        schema=schema,
        encoding=channel.message_encoding,
        stream=stream,
        sequence=sequence,
        fallback=message.publish_time or message.log_time,
        limits=limits,
    )


def control_fields(message: Message) -> Mapping[str, Any]:
    """Fields of a JSON message. Raises ValueError."""
    if message.data is None:
        raise ValueError(f"{message.size} bytes are too many")
    try:
        fields = json.loads(message.data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    return fields


def integer(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if type(value) is not int:
        raise ValueError(f"`{key}` is {value!r:.40}, not a whole number")
    return value


def cut_from(fields: Mapping[str, Any]) -> Cut:
    through, missing = fields.get("through"), fields.get("missing")
    if not isinstance(through, dict) or not isinstance(missing, dict):
        raise ValueError("`through` and `missing` must be objects")
    if unknown := [reason for reason in missing.values() if reason not in get_args(Reason)]:
        raise ValueError(f"`missing` gives {unknown[0]!r:.40}, which is none of {', '.join(get_args(Reason))}")
    return Cut(
        start=integer(fields, "start"),
        revision=integer(fields, "revision"),
        through={stream: integer(through, stream) for stream in through},
        missing=missing,
    )
