"""Finding the blocks of an MCAP file: from its summary, else by walking through the whole of it.

The summary is trusted only when its checksum holds, it describes all that we need, and every chunk it names is where it says.
A file without one - the recorder was killed, the file was cut - is walked from the front, and after a record that makes no
sense the walk goes on at the next chunk that does. So damage costs what it hit, and nothing behind it.
"""

from __future__ import annotations

import io
import mmap
import struct
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Metadata, MetadataIndex, Schema, Statistics

from connectors.recording.blocks import CHUNK_HEAD, HEADER, MAGIC, MESSAGE_HEAD, PARSE_ERRORS, Block, Damage, read_block
from pipelines.errors import RecordingError

_FOOTER = struct.Struct("<BQQQI")  # opcode, length, start of the summary, start of its offsets, its CRC-32
_MAX_SUMMARY = 2**30
_MAX_RUN = 2**20
_SMALL = 16 * 2**20
_KNOWN = frozenset(Opcode)


@dataclass(slots=True)
class Index:
    """All that is known of a file without its messages.

    Attributes:
        blocks: in file order.
        schemas, channels: by id.
        metadata: entries by name of the record; of two with one name the later wins, entry by entry.
        counts: messages by channel id.
        damage: what was found broken, in words, with its offset.
    """

    blocks: list[Block] = field(default_factory=list)
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)


def read_index(path: Path) -> Index:
    """Raises RecordingError where `path` cannot be read or is no MCAP file; whatever else is wrong is in `damage`."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
            if start != MAGIC:
                what = "is empty" if not start else f"begins with {start!r}, which no MCAP file does"
                raise RecordingError(f"{path} {what}; give a recording made by `sensorium record` or another MCAP file")
            size = file.seek(0, io.SEEK_END)
            return _from_summary(file, size) or _Walk(path, file, size).run()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}") from error


def _from_summary(file: BinaryIO, size: int) -> Index | None:
    """The index by the file's own summary, or None where there is none that can be trusted and is complete."""
    footer_start = size - len(MAGIC) - _FOOTER.size
    if footer_start < len(MAGIC):
        return None
    file.seek(footer_start)
    footer = file.read(_FOOTER.size)
    opcode, _, start, _, crc = _FOOTER.unpack(footer)
    if file.read() != MAGIC or opcode != Opcode.FOOTER or not len(MAGIC) <= start < footer_start:
        return None
    if footer_start - start > _MAX_SUMMARY:
        return None
    file.seek(start)
    summary = file.read(footer_start - start)
    if crc and zlib.crc32(footer[:-4], zlib.crc32(summary)) != crc:
        return None
    try:
        return _parse_summary(file, summary)
    except PARSE_ERRORS:
        return None


def _parse_summary(file: BinaryIO, summary: bytes) -> Index | None:
    index = Index()
    statistics: Statistics | None = None
    metadata: list[MetadataIndex] = []
    position = 0
    while position < len(summary):
        opcode, length = HEADER.unpack_from(summary, position)
        position += HEADER.size + length
        body = ReadDataStream(io.BytesIO(summary[position - length : position]))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(body)
            index.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(body)
            index.channels[channel.id] = channel
        elif opcode == Opcode.STATISTICS:
            statistics = Statistics.read(body)
            index.counts.update(statistics.channel_message_counts)
        elif opcode == Opcode.METADATA_INDEX:
            metadata.append(MetadataIndex.read(body))
        elif opcode == Opcode.CHUNK_INDEX:
            chunk = ChunkIndex.read(body)
            offset, length = chunk.chunk_start_offset, chunk.chunk_length
            known = frozenset(chunk.message_index_offsets) or None
            index.blocks.append(Block(offset, length, True, chunk.message_start_time, chunk.message_end_time, known))
    if statistics is None or statistics.metadata_count != len(metadata) or not _complete(file, index, statistics):
        return None
    for entry in metadata:
        file.seek(entry.offset + HEADER.size)
        record = Metadata.read(ReadDataStream(io.BytesIO(file.read(min(entry.length, _SMALL)))))
        index.metadata.setdefault(record.name, {}).update(record.metadata)
    return index


def _complete(file: BinaryIO, index: Index, statistics: Statistics) -> bool:
    """Whether the summary describes every message and every channel, and its chunks are where it says."""
    for block in index.blocks:
        file.seek(block.offset)
        if file.read(HEADER.size) != HEADER.pack(Opcode.CHUNK, block.length - HEADER.size):
            return False
    return (
        statistics.chunk_count == len(index.blocks)
        and (bool(index.blocks) or not statistics.message_count)
        and index.counts.total() == statistics.message_count
        and index.counts.keys() <= index.channels.keys()
        and all(channel.schema_id in {0, *index.schemas} for channel in index.channels.values())
    )


class _Walk:
    """One pass over all records of a file, front to back."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._index = Index()
        self._run: _Run | None = None

    def run(self) -> Index:
        position: int | None = len(MAGIC)
        ended = False
        while position is not None and position < self._size and not ended:
            self._file.seek(position)
            head = self._file.read(HEADER.size)
            if len(head) < HEADER.size:
                break
            opcode, length = HEADER.unpack(head)
            end = position + HEADER.size + length
            try:
                if end > self._size or opcode == 0:
                    raise _LostError("ends before its record does" if opcode else "holds something that is no record")
                ended = self._record(opcode, position, end)
                position = end
            except _LostError as lost:
                self._close_run()
                self._note(position, str(lost))
                if opcode == Opcode.CHUNK:
                    self._chunk(Block(position, self._size - position, True, torn=True))
                position = self._next_chunk(position + 1)
        self._close_run()
        if not ended and position is not None:
            self._note(position, "ends here without a footer: the recorder was stopped hard, or the file was cut")
        return self._index

    def _record(self, opcode: int, position: int, end: int) -> bool:
        """Take one record in; True for the footer. Raises _LostError where its length cannot be trusted."""
        if opcode in (Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL):
            self._bare(opcode, position, end)
            return False
        self._close_run()
        if opcode == Opcode.CHUNK:
            self._chunk(Block(position, end - position, True))
        elif opcode == Opcode.METADATA:
            self._metadata(position, end)
        elif opcode == Opcode.MESSAGE_INDEX:
            head = self._file.read(6)
            if len(head) < 6 or 6 + int.from_bytes(head[2:], "little") != end - position - HEADER.size:
                raise _LostError("holds an index whose lengths contradict each other")
        elif opcode not in _KNOWN and opcode < 0x80:
            self._note(position, f"has a record of unknown kind 0x{opcode:02x}")
        return opcode == Opcode.FOOTER

    def _bare(self, opcode: int, position: int, end: int) -> None:
        """A message outside of chunks, or a description; neighbours become one block."""
        if opcode == Opcode.MESSAGE:
            head = self._file.read(MESSAGE_HEAD.size)
            if end - position < HEADER.size + MESSAGE_HEAD.size:
                raise _LostError("holds a message that is too short")
            channel, _, log_time, _ = MESSAGE_HEAD.unpack(head)
            if self._run is None:
                self._run = _Run(position)
            self._run.add(end, channel, log_time)
            self._index.counts[channel] += 1
            if end - self._run.offset > _MAX_RUN:
                self._close_run()
            return
        self._close_run()
        if end - position > _SMALL:
            raise _LostError(f"holds a description of {end - position} bytes")
        body = ReadDataStream(io.BytesIO(self._file.read(end - position - HEADER.size)))
        try:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(body)
                self._index.schemas.setdefault(schema.id, schema)
            else:
                channel_record = Channel.read(body)
                self._index.channels.setdefault(channel_record.id, channel_record)
        except PARSE_ERRORS:
            self._note(position, "holds a description that cannot be read")

    def _chunk(self, block: Block) -> None:
        try:
            contents = read_block(self._path, block, {})
        except Damage as damage:
            if "lengths contradict" in str(damage):
                raise _LostError(f"has a chunk in disorder: {damage}") from damage
            self._note(block.offset, f"has a chunk that is lost: {damage}")
            return
        for identifier, schema in contents.schemas.items():
            self._index.schemas.setdefault(identifier, schema)
        for identifier, channel in contents.channels.items():
            self._index.channels.setdefault(identifier, channel)
        self._index.counts.update(contents.counts)
        start, end, channels = contents.start, contents.end, frozenset(contents.counts)
        if channels:
            self._index.blocks.append(Block(block.offset, block.length, True, start, end, channels, block.torn))

    def _metadata(self, position: int, end: int) -> None:
        try:
            record = Metadata.read(ReadDataStream(io.BytesIO(self._file.read(min(end - position, _SMALL)))))
        except PARSE_ERRORS:
            self._note(position, "holds metadata that cannot be read")
            return
        self._index.metadata.setdefault(record.name, {}).update(record.metadata)

    def _close_run(self) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            length = run.end - run.offset
            self._index.blocks.append(Block(run.offset, length, False, run.first, run.last, frozenset(run.channels)))

    def _next_chunk(self, position: int) -> int | None:
        """Offset of the next compressed chunk whose lengths agree, at `position` or behind it."""
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = [self._find_chunk(data, named, position) for named in (b"zstd", b"lz4")]
        return min((offset for offset in found if offset is not None), default=None)

    def _find_chunk(self, data: mmap.mmap, compression: bytes, position: int) -> int | None:
        needle = struct.pack("<I", len(compression)) + compression
        back = HEADER.size + CHUNK_HEAD.size - 4
        at = data.find(needle, position + back)
        while at >= 0:
            opcode, length = HEADER.unpack_from(data, at - back)
            sizes_at = at + len(needle)
            if opcode == Opcode.CHUNK and sizes_at + 8 <= self._size:
                (size,) = struct.unpack_from("<Q", data, sizes_at)
                if length == CHUNK_HEAD.size + len(compression) + 8 + size:
                    return at - back
            at = data.find(needle, at + 1)
        return None

    def _note(self, offset: int, what: str) -> None:
        self._index.damage.append(f"{self._path} at byte {offset} {what}")


class _LostError(Exception):
    """The walk cannot go on behind this record."""


class _Run:
    """Neighbouring messages outside of chunks, on their way to become one block."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.end = offset
        self.first = 2**64
        self.last = 0
        self.channels: set[int] = set()

    def add(self, end: int, channel: int, log_time: int) -> None:
        self.end = end
        self.first = min(self.first, log_time)
        self.last = max(self.last, log_time)
        self.channels.add(channel)
