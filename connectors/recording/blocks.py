"""Reading one block of an MCAP file: a chunk, or a run of records outside of any chunk.

A block is read record by record through the decompressor, so that a message over its limit is passed by without being held,
and a chunk that unpacks to more than it declares is stopped. Every read opens the file itself: any number of cursors on any
threads need no lock. MCAP: https://mcap.dev/spec.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import lz4.frame  # type: ignore[import-untyped]
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

MAGIC = b"\x89MCAP0\r\n"
HEADER = struct.Struct("<BQ")  # opcode, length of the body
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct(
    "<QQQII"
)  # first and last log time, unpacked size, its CRC-32, length of the compression's name
PARSE_ERRORS = (McapError, struct.error, ValueError, MemoryError)
_SMALL_RECORD = 16 * 2**20
_MAX_UNPACKED = 64 * 2**30
_PIECE = 2**20


class Damage(Exception):  # noqa: N818 - a finding about one block, reported by the recording, never an error of ours
    """A block that cannot be read, or not be trusted; its text says why."""


class Message(NamedTuple):
    """One message as it lies in the file. `data` is None where it is larger than its limit (`size` is what it has)."""

    log_time: int
    block: int
    position: int
    channel: int
    sequence: int
    publish_time: int
    size: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Block:
    """Where a block lies, and what is known of it without opening it.

    Attributes:
        offset: of its first byte in the file.
        length: in bytes, record header included.
        chunked: a chunk record, else bare records.
        start, end: lowest and highest log time in it.
        channels: ids it has messages of; None where the file does not say.
        torn: its length cannot be trusted, it may be cut off; what can be read of it is wanted.
    """

    offset: int
    length: int
    chunked: bool
    start: int = 0
    end: int = 0
    channels: frozenset[int] | None = None
    torn: bool = False


@dataclass(slots=True)
class Contents:
    """What was in a block: the wanted messages in file order, and all that describes the channels."""

    messages: list[Message] = field(default_factory=list)
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    start: int = 2**64
    end: int = 0


def read_block(path: Path, block: Block, limits: Mapping[int, int]) -> Contents:
    """Read the messages of the channels in `limits`, each up to its limit in bytes. Raises Damage, or OSError."""
    contents = Contents()
    with path.open("rb") as file:
        file.seek(block.offset)
        crc, size = 0, block.length
        unpack: Callable[[Any], Any] = _plain
        if block.chunked:
            unpack, size, crc = _chunk_head(file, block)
        checked = _Checked(unpack(_Slice(file, size)))
        try:
            _walk(io.BufferedReader(checked, 65_536), block.offset, limits, contents)
            while checked.readinto(bytearray(_PIECE)):
                pass  # what lies behind the last record belongs to the checksum
        except (Damage, EOFError, zstandard.ZstdError, RuntimeError, *PARSE_ERRORS) as error:
            if block.torn and not file.read(1):
                return contents  # the file ends in it: what came whole is kept
            if isinstance(error, Damage):
                raise
            raise Damage(f"cannot be unpacked: {error!s:.120}") from error
    if crc and checked.crc != crc:
        raise Damage("its checksum does not match what it holds")
    return contents


def _chunk_head(file: BinaryIO, block: Block) -> tuple[Callable[[Any], Any], int, int]:
    opcode, length = HEADER.unpack(_exactly(file, HEADER.size))
    if opcode != Opcode.CHUNK or (length != block.length - HEADER.size and not block.torn):
        raise Damage("there is no chunk where the index says")
    _, _, unpacked, crc, named = CHUNK_HEAD.unpack(_exactly(file, CHUNK_HEAD.size))
    if named > 32:
        raise Damage("its header makes no sense")
    compression = _exactly(file, named)
    (size,) = struct.unpack("<Q", _exactly(file, 8))
    if size != length - CHUNK_HEAD.size - named - 8 and not block.torn:
        raise Damage("its lengths contradict each other")
    if compression not in _UNPACKERS:
        raise Damage(f"compression {compression!r:.40} is none of lz4, zstd")
    if unpacked > _MAX_UNPACKED:
        raise Damage(f"it claims to unpack to {unpacked} bytes")
    return lambda raw: _AtMost(_UNPACKERS[compression](raw), unpacked), size, crc


def _walk(stream: io.BufferedReader, offset: int, limits: Mapping[int, int], contents: Contents) -> None:
    position = 0
    while head := stream.read(HEADER.size):
        if len(head) < HEADER.size:
            raise Damage("it ends inside a record")
        opcode, length = HEADER.unpack(head)
        if opcode == Opcode.MESSAGE and length >= MESSAGE_HEAD.size:
            channel, sequence, log_time, publish_time = MESSAGE_HEAD.unpack(_exactly(stream, MESSAGE_HEAD.size))
            size = length - MESSAGE_HEAD.size
            limit = limits.get(channel, -1)
            data = None
            if size <= limit:
                data = _exactly(stream, size)
            else:
                _skip(stream, size)
            if limit >= 0:
                contents.messages.append(
                    Message(log_time, offset, position, channel, sequence, publish_time, size, data)
                )
            contents.counts[channel] += 1
            contents.start = min(contents.start, log_time)
            contents.end = max(contents.end, log_time)
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(_body(stream, length))
            contents.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel_record = Channel.read(_body(stream, length))
            contents.channels[channel_record.id] = channel_record
        elif opcode in (0, Opcode.MESSAGE):
            raise Damage("it holds something that is no record")
        else:
            _skip(stream, length)
        position += HEADER.size + length


def _body(stream: io.BufferedReader, length: int) -> ReadDataStream:
    if length > _SMALL_RECORD:
        raise Damage(f"it holds a description of {length} bytes")
    return ReadDataStream(io.BytesIO(_exactly(stream, length)))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise Damage("it ends inside a record")
    return data


def _skip(stream: BinaryIO, size: int) -> None:
    while size:
        read = len(stream.read(min(size, _PIECE)))
        if not read:
            raise Damage("it ends inside a record")
        size -= read


class _Slice(io.RawIOBase):
    """The next `size` bytes of a file, and then its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class _AtMost:
    """Refuses to unpack more than a chunk declares, so that a small file cannot run for ever."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Damage("it unpacks to more than it declares")
        return data


class _Checked(io.RawIOBase):
    """Passes bytes on and keeps their CRC-32."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.crc = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self.crc = zlib.crc32(data, self.crc)
        buffer[: len(data)] = data
        return len(data)


def _plain(raw: Any) -> Any:
    return raw


def _zstd(raw: Any) -> Any:
    return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)


def _lz4(raw: Any) -> Any:
    return lz4.frame.LZ4FrameFile(raw, mode="rb")


_UNPACKERS: Mapping[bytes, Callable[[Any], Any]] = {b"": _plain, b"zstd": _zstd, b"lz4": _lz4}
