"""One cursor: the messages of one stream in recorded order, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from connectors.recording.blocks import Block, Damage, Message, read_block


class Batch(NamedTuple):
    """What one block settled.

    Attributes:
        messages: in order of log time; those of equal log time as they lie in the file.
        damage: why the block could not be read, else None.
    """

    messages: Sequence[Message]
    damage: str | None = None


def read_in_order(path: Path, blocks: Sequence[Block], limits: Mapping[int, int]) -> Iterator[Batch]:
    """The messages of the channels in `limits` (channel id to its largest message, bytes).

    Reads a block when it is asked for the next batch, and holds back only what a later block could still precede: nothing in
    a file written in order. A block that cannot be read yields an empty batch that says so.
    """
    wanted = [block for block in blocks if block.channels is None or block.channels & limits.keys()]
    wanted.sort(key=lambda block: (block.start, block.offset))
    held: list[Message] = []
    for number, block in enumerate(wanted, 1):
        try:
            held += read_block(path, block, limits).messages
        except Damage as damage:
            yield Batch((), f"{path} at byte {block.offset} has a chunk that is lost: {damage}")
        except OSError as error:
            yield Batch((), f"{path} at byte {block.offset} cannot be read: {error.strerror or error}")
        held.sort(key=lambda message: message[:3])
        settled = len(held)
        if number < len(wanted):
            following = (wanted[number].start, wanted[number].offset, 0)
            while settled and held[settled - 1][:3] >= following:
                settled -= 1
        if settled:
            yield Batch(held[:settled])
            del held[:settled]
