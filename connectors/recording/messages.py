"""The three protobuf messages of a recording, built from their published field numbers.

Field names, numbers and types are those of the Foxglove schemas (foxglove/CompressedImage.proto, RawAudio.proto, Log.proto),
so that a recording opens in every tool that knows them; a test compares them with the published package. Text fields are
*read and written* as bytes, which is the same on the wire: protobuf refuses a whole message for one byte of invalid UTF-8,
and a caption with a broken letter is still a caption.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

PICTURE = "foxglove.CompressedImage"
SOUND = "foxglove.RawAudio"
WORDS = "foxglove.Log"

_Field = descriptor_pb2.FieldDescriptorProto
_TIMESTAMP_FILE = "google/protobuf/timestamp.proto"
_FIELDS = {
    PICTURE: (
        ("timestamp", 1, _Field.TYPE_MESSAGE),
        ("frame_id", 4, _Field.TYPE_STRING),
        ("data", 2, _Field.TYPE_BYTES),
        ("format", 3, _Field.TYPE_STRING),
    ),
    SOUND: (
        ("timestamp", 1, _Field.TYPE_MESSAGE),
        ("data", 2, _Field.TYPE_BYTES),
        ("format", 3, _Field.TYPE_STRING),
        ("sample_rate", 4, _Field.TYPE_FIXED32),
        ("number_of_channels", 5, _Field.TYPE_FIXED32),
    ),
    WORDS: (
        ("timestamp", 1, _Field.TYPE_MESSAGE),
        ("level", 2, _Field.TYPE_ENUM),
        ("message", 3, _Field.TYPE_STRING),
        ("name", 4, _Field.TYPE_STRING),
        ("file", 5, _Field.TYPE_STRING),
        ("line", 6, _Field.TYPE_FIXED32),
    ),
}
_LEVELS = ("UNKNOWN", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL")
INFO = 2


def _file(name: str, *, text_as_bytes: bool) -> descriptor_pb2.FileDescriptorProto:
    package, _, short = name.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}/{short}.proto", package=package, syntax="proto3", dependency=[_TIMESTAMP_FILE]
    )
    message = file.message_type.add(name=short)
    for field, number, kind in _FIELDS[name]:
        entry = message.field.add(name=field, json_name=_camel(field), number=number, label=_Field.LABEL_OPTIONAL)
        entry.type = _Field.TYPE_BYTES if text_as_bytes and kind == _Field.TYPE_STRING else kind
        if kind == _Field.TYPE_MESSAGE:
            entry.type_name = ".google.protobuf.Timestamp"
        elif kind == _Field.TYPE_ENUM:
            entry.type_name = f".{name}.Level"
            levels = message.enum_type.add(name="Level")
            for value, level in enumerate(_LEVELS):
                levels.value.add(name=level, number=value)
    return file


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _timestamp_file() -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)


def descriptor_set(name: str) -> bytes:
    """The FileDescriptorSet of message `name` with its imports first: what an MCAP schema of encoding `protobuf` holds."""
    return descriptor_pb2.FileDescriptorSet(
        file=[_timestamp_file(), _file(name, text_as_bytes=False)]
    ).SerializeToString()


def _message_types() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()  # our own: the default pool may already hold the published package
    pool.Add(_timestamp_file())
    for name in _FIELDS:
        pool.Add(_file(name, text_as_bytes=True))
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in _FIELDS}


MESSAGE_TYPES: dict[str, Any] = _message_types()
"""Message class by schema name; its text fields are bytes."""
