"""Writing a recording: the synchronous core, one thread, no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from mcap.data_stream import RecordBuilder
from mcap.records import Channel, Schema
from mcap.writer import CompressionType, Writer

from connectors.recording.codec import Unreadable, encode
from connectors.recording.messages import descriptor_set
from connectors.recording.schema import (
    BOUND,
    CUT,
    GAP,
    METADATA,
    REFUSED,
    SCHEMA_OF,
    Alignment,
    control_schema,
)
from pipelines.packet import Bound, Event, Gap, Modality, Packet
from pipelines.windowing.cut import Cut

_UINT64 = 2**64 - 1


class RecordingWriter:
    """Puts packets, bounds, gaps and the decisions of the aligner into an MCAP file, in the order of the calls.

    Not thread-safe. Errors of `file` (OSError: the disk is full) come through, and what was flushed before stays readable.
    Without `close` the file has no summary; a replay reads it all the same, up to its last whole chunk.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        alignment: Alignment | None = None,
        modalities: Mapping[str, Modality] | None = None,
        chunk_bytes: int = 2**20,
    ) -> None:
        """
        Args:
            file: open for writing; the caller closes it.
            alignment: how the run aligns its streams; without it a replay takes its own default.
            modalities: streams known beforehand; the channel of another is made at its first packet.
            chunk_bytes: a chunk is compressed (zstd) and written when it holds this many bytes.
        """
        self._file = file
        self._mcap = Writer(file, chunk_size=chunk_bytes, compression=CompressionType.ZSTD, enable_data_crcs=False)
        self._mcap.start(profile="", library="sensorium")
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._log_time = -1
        self.counts: dict[str, int] = {}
        """Packets written, by stream."""
        self._unwritten: dict[str, list[int]] = {}
        modalities = modalities or {}
        if alignment is not None:
            alignment = replace(alignment, modalities={**alignment.modalities, **modalities})
            modalities = alignment.modalities
            self._mcap.add_metadata(METADATA, alignment.to_metadata())
        for stream, modality in modalities.items():
            self._stream_channel(stream, modality)

    def write(self, item: Event, now: int) -> None:
        """Append one item; `now` is its arrival, ns. Raises Unreadable for a payload in no canonical form."""
        if isinstance(item, Packet):
            written, unwritten = self.counts.get(item.stream, 0), self._unwritten.setdefault(item.stream, [])
            try:
                data = encode(item)
            except Unreadable:
                unwritten.append(written + len(unwritten) + 1)
                raise
            count = self.counts[item.stream] = written + 1
            self._append(self._stream_channel(item.stream, item.modality), now, item.timestamp, data, count)
        elif isinstance(item, Bound):
            self._control(BOUND, now, item.timestamp, {"stream": item.stream, "timestamp": item.timestamp})
        elif isinstance(item, Gap):
            fields = {"stream": item.stream, "start": item.start, "end": item.end, "reason": item.reason}
            self._control(GAP, now, item.start, fields)

    def cut(self, cut: Cut, now: int) -> None:
        """A window that the clock decided."""
        fields = {
            "start": cut.start,
            "revision": cut.revision,
            "through": dict(cut.through),
            "missing": dict(cut.missing),
        }
        self._control(CUT, now, cut.start, fields)

    def refused(self, stream: str, count: int, now: int) -> None:
        """The `count`-th packet of `stream` (from 1) that was given to `write` was refused by the aligner; a replay skips it.

        One that could not be written is not in the file, so there is nothing to skip, and those behind it count one less.
        """
        unwritten = self._unwritten.get(stream, [])
        if count in unwritten:
            return
        count -= sum(1 for missing in unwritten if missing < count)
        self._control(REFUSED, now, now, {"stream": stream, "count": count})

    def flush(self) -> None:
        """Close the chunk in hand and hand everything to the operating system."""
        self._mcap.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write the summary. The file stays open."""
        self._mcap.finish()  # type: ignore[no-untyped-call]
        self._file.flush()

    def _append(self, channel: int, now: int, event_time: int, data: bytes, sequence: int = 0) -> None:
        self._log_time = min(max(now, self._log_time + 1), _UINT64)
        publish_time = min(max(event_time, 0), _UINT64)
        self._mcap.add_message(channel, self._log_time, data, publish_time, sequence & 0xFFFFFFFF)

    def _control(self, topic: str, now: int, event_time: int, fields: Mapping[str, object]) -> None:
        channel = self._channels.get((topic, ""))
        if channel is None:
            name, schema = control_schema(topic)
            channel = self._channels[topic, ""] = self._channel(topic, "json", self._schema(name, "jsonschema", schema))
        self._append(channel, now, event_time, json.dumps(fields, sort_keys=True).encode("utf-8", "replace"))

    def _stream_channel(self, stream: str, modality: Modality) -> int:
        channel = self._channels.get((stream, modality))
        if channel is None:
            name = SCHEMA_OF[modality]
            schema = self._schema(name, "protobuf", descriptor_set(name))
            channel = self._channels[stream, modality] = self._channel(stream, "protobuf", schema)
        return channel

    def _schema(self, name: str, encoding: str, data: bytes) -> int:
        schema = self._schemas.get(name)
        if schema is None:
            schema = self._schemas[name] = self._mcap.register_schema(name, encoding, data)
            self._describe(Schema(id=schema, name=name, encoding=encoding, data=data))
        return schema

    def _channel(self, topic: str, encoding: str, schema: int) -> int:
        channel = self._mcap.register_channel(topic, encoding, schema)
        self._describe(Channel(id=channel, topic=topic, message_encoding=encoding, metadata={}, schema_id=schema))
        return channel

    def _describe(self, record: Schema | Channel) -> None:
        """A second copy outside of all chunks: the library's own one is lost with the chunk of the first message."""
        builder = RecordBuilder()
        record.write(builder)
        self._file.write(builder.end())  # type: ignore[no-untyped-call]
