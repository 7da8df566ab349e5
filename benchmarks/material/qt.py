"""Reads Qt's compiled resource files (`.rcc`), in which some packages keep their pictures and sounds.

The layout (big-endian) is that of Qt's resource compiler: a header with the offsets of the tree, the data and the
names; tree nodes of 14 bytes (22 from version 2 on, which adds a time); names in UTF-16 behind their length and hash.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path, PurePosixPath

_COMPRESSED, _DIRECTORY, _ZSTD = 1, 2, 4


def unpack(resource: bytes, into: Path) -> None:
    """Write every file of the resource below `into`.

    Raises:
        ValueError: it is no Qt resource, holds Zstandard data, or a name would lead out of `into`.
    """
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", resource)
    if magic != b"qres":
        raise ValueError("not a Qt resource file: it does not begin with 'qres'")
    size = 14 if version < 2 else 22

    def name(offset: int) -> str:
        at = names + offset
        (length,) = struct.unpack_from(">H", resource, at)
        text = resource[at + 6:at + 6 + 2 * length].decode("utf-16-be")
        if text in {"", ".", ".."} or "/" in text or "\\" in text:
            raise ValueError(f"a Qt resource file names a file {text!r}")
        return text

    pending = [(0, PurePosixPath())]
    while pending:
        node, parent = pending.pop()
        at = tree + node * size
        name_at, flags = struct.unpack_from(">IH", resource, at)
        path = parent / name(name_at) if node else parent
        if flags & _DIRECTORY:
            count, first = struct.unpack_from(">II", resource, at + 6)
            pending += [(child, path) for child in range(first, first + count)]
            continue
        (offset,) = struct.unpack_from(">I", resource, at + 10)
        (length,) = struct.unpack_from(">I", resource, data + offset)
        content = resource[data + offset + 4:data + offset + 4 + length]
        if flags & _ZSTD:
            raise ValueError(f"{path}: Zstandard inside a Qt resource file is not read here")
        if flags & _COMPRESSED:
            content = zlib.decompress(content[4:])
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
