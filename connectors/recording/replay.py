"""Replaying a recording: what is in it, and one source per stream.

Any MCAP file with channels of foxglove.CompressedImage, RawAudio or Log (protobuf or JSON) replays, whoever wrote it. A file
that is damaged replays as far as it can be read, every stream of it; what was lost is told in `damage` and as Gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from connectors.blocking import in_thread
from connectors.recording.blocks import Block, Contents, Damage, read_block
from connectors.recording.codec import Limits, Unreadable
from connectors.recording.cursor import read_in_order
from connectors.recording.index import Index, read_index
from connectors.recording.reading import (
    ENCODINGS,
    Reader,
    control_channels,
    control_fields,
    cut_from,
    decode_message,
    integer,
    message_limits,
    note,
    stream_channels,
)
from connectors.recording.schema import BOUND, CONTROL_TOPICS, CUT, GAP, METADATA, MODALITY_OF, REFUSED, Alignment
from pipelines.errors import RecordingError
from pipelines.packet import Event, Modality
from pipelines.protocols import Overflow
from pipelines.windowing.cut import Cut


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """What a recording says of one stream.

    Attributes:
        name: the stream's name, which is its topic.
        modality: None for a stream of the alignment that never sent and was not known beforehand.
        packets: recorded packets, refused ones included.
        first, last: event time of the first and the last recorded packet that can be read, ns; None where there is none.
    """

    name: str
    modality: Modality | None
    packets: int
    first: int | None = None
    last: int | None = None


@dataclass(slots=True)
class Recording:
    """An open recording. It holds no file; every source reads for itself.

    Attributes:
        streams: by name.
        alignment: how the recorded run aligned; None for a file of others: take the default, with bound 0.
        cuts: what the clock decided in the recorded run, in its order; None where the file has no alignment.
        refused: by stream, the ordinals (from 1) of packets the aligner refused; sources skip them.
        ignored: channels that cannot be replayed, and why.
        damage: what is broken in the file, in words; grows while sources find more.
        unreadable: by stream, how many messages could not be made a packet so far; each of them was told as a Gap.
    """

    path: Path
    streams: dict[str, RecordedStream]
    alignment: Alignment | None
    cuts: tuple[Cut, ...] | None
    refused: dict[str, frozenset[int]]
    ignored: dict[str, str]
    damage: list[str]
    unreadable: Counter[str] = field(default_factory=Counter)
    _index: Index = field(default_factory=Index, repr=False)
    _limits: Limits = field(default_factory=Limits, repr=False)

    @property
    def exact(self) -> bool:
        """Whether a replay is known to give what the recorded run gave: recorded whole, and nothing found broken so far."""
        return self.alignment is not None and self.alignment.exact and not self.damage

    def source(self, stream: str) -> ReplaySource:
        """A cursor of its own over one stream. Raises RecordingError for a stream that is not in the recording."""
        if stream not in self.streams:
            known = ", ".join(self.streams) or "none"
            raise RecordingError(f"{self.path} has no stream {stream!r}; its streams: {known}")
        return ReplaySource(self, stream)


class ReplaySource:
    """One stream of a recording in its recorded order (by arrival, not by event time), with its Bounds and Gaps.

    It numbers its packets from 0. Reads a chunk at a time, in a thread, and only when asked. Never raises for what is in the
    file: what cannot be read becomes a Gap and is counted in the recording.
    """

    overflow: Overflow = "block"

    def __init__(self, recording: Recording, stream: str) -> None:
        self.stream = stream
        self._recording = recording

    def events(self) -> AsyncGenerator[Event, None]:
        return in_thread(self.batches)

    def batches(self) -> Generator[Sequence[Event], None, None]:
        """The same events without an event loop: one list per chunk."""
        recording = self._recording
        index, damage = recording._index, recording.damage
        limits = message_limits(index, stream_channels(index, self.stream), recording._limits)
        reader = Reader(
            index,
            self.stream,
            refused=recording.refused.get(self.stream, frozenset()),
            limits=recording._limits,
            damage=damage,
            unreadable=recording.unreadable,
        )
        limits |= control_channels(index, BOUND, GAP)
        for batch in read_in_order(recording.path, index.blocks, limits):
            if batch.damage is not None:
                note(damage, batch.damage)
                reader.lost_some = True
            if events := [event for message in batch.messages for event in reader.read(message)]:
                yield events


def open_recording(path: str | Path, *, limits: Limits | None = None) -> Recording:
    """Find out what is in `path`. Raises RecordingError where it cannot be read or is no MCAP file.

    Costs a few reads where the file has its summary; otherwise one pass through it. `limits` bound a single payload.
    """
    path = Path(path)
    index = read_index(path)
    recording = Recording(
        path=path,
        streams={},
        alignment=None,
        cuts=None,
        refused={},
        ignored={},
        damage=index.damage,
        _index=index,
        _limits=limits or Limits(),
    )
    if METADATA in index.metadata:
        try:
            recording.alignment = Alignment.from_metadata(index.metadata[METADATA])
        except ValueError as error:
            note(recording.damage, f"{path}: {error}; it is replayed like a file of others")
    _read_decisions(recording)
    _find_streams(recording)
    return recording


def _read_decisions(recording: Recording) -> None:
    index, cuts, refused = recording._index, [], list[tuple[str, int]]()
    limits = control_channels(index, CUT, REFUSED)
    for batch in read_in_order(recording.path, index.blocks, limits):
        if batch.damage is not None:
            note(recording.damage, batch.damage)
        for message in batch.messages:
            topic = index.channels[message.channel].topic
            try:
                fields = control_fields(message)
                if topic == CUT:
                    cuts.append(cut_from(fields))
                else:
                    refused.append((str(fields.get("stream")), integer(fields, "count")))
            except ValueError as error:
                note(recording.damage, f"a message on {topic} cannot be read: {error}")
    if recording.alignment is not None:
        recording.cuts = tuple(cuts)
    recording.refused = {stream: frozenset(count for name, count in refused if name == stream) for stream, _ in refused}


def _find_streams(recording: Recording) -> None:
    index = recording._index
    modalities: dict[str, Modality | None] = {}
    for channel in index.channels.values():
        schema = index.schemas.get(channel.schema_id)
        name = schema.name if schema is not None else "no schema"
        if channel.topic in CONTROL_TOPICS and channel.message_encoding == "json":
            continue
        if name not in MODALITY_OF or channel.message_encoding not in ENCODINGS:
            recording.ignored[channel.topic] = f"{name} in {channel.message_encoding or 'no encoding'} is not replayed"
        elif modalities.setdefault(channel.topic, MODALITY_OF[name]) != MODALITY_OF[name]:
            recording.ignored[f"{channel.topic} (channel {channel.id})"] = f"{name} beside another kind on one topic"
    if recording.alignment is not None:
        for stream in recording.alignment.streams:
            modalities.setdefault(stream, recording.alignment.modalities.get(stream))

    @lru_cache(maxsize=2)
    def contents(block: Block) -> Contents:
        try:
            return read_block(recording.path, block, every)
        except (Damage, OSError) as error:
            note(recording.damage, f"{recording.path} at byte {block.offset} has a chunk that is lost: {error}")
            return Contents()

    every: dict[int, int] = {}
    for stream in modalities:
        every |= message_limits(index, stream_channels(index, stream), recording._limits)
    for forward in (True, False):
        for stream, modality in modalities.items():
            channels = stream_channels(index, stream)
            known = recording.streams.get(stream)
            if known is None:
                packets = sum(index.counts[channel] for channel in channels)
                known = recording.streams[stream] = RecordedStream(stream, modality, packets)
            time = _edge(recording, known, channels, forward, contents)
            first, last = (time, None) if forward else (known.first, time)
            recording.streams[stream] = RecordedStream(stream, modality, known.packets, first, last)


def _edge(
    recording: Recording,
    stream: RecordedStream,
    channels: frozenset[int],
    forward: bool,
    contents: Callable[[Block], Contents],
) -> int | None:
    """Event time of the first (or last) readable packet of a stream."""
    index = recording._index
    blocks = [block for block in index.blocks if block.channels is None or block.channels & channels]
    blocks.sort(
        key=lambda block: (block.start, block.offset) if forward else (block.end, block.offset), reverse=not forward
    )
    for block in blocks:
        messages = [message for message in contents(block).messages if message.channel in channels]
        for message in sorted(messages, key=lambda message: message[:3], reverse=not forward):
            try:
                return decode_message(index, message, stream.name, 0, recording._limits).timestamp
            except Unreadable:
                continue
    return None
