"""What a recording is made of: topics, schemas, and the metadata that makes a replay exact.

A recording is MCAP (https://mcap.dev/spec). One channel per stream, its topic the stream's name:

    image   foxglove.CompressedImage   protobuf   `format` jpeg
    audio   foxglove.RawAudio          protobuf   `format` pcm-s16, interleaved little-endian
    text    foxglove.Log               protobuf   `message`

and four JSON channels for what is known beside the packets:

    /sensorium/bound     {stream, timestamp}               nothing of the stream older than this follows
    /sensorium/gap       {stream, start, end, reason}      a known loss
    /sensorium/cut       {start, revision, through, missing}   a window that the clock decided
    /sensorium/refused   {stream, count}                   the count-th packet of the stream (from 1) was refused

`log_time` is arrival and strictly increases from record to record, so that the order in which the aligner took things
survives tools that sort, merge or rewrite a file. `publish_time` is event time, clamped to the unsigned 64 bits MCAP gives
it; the message's own timestamp is event time too, reaches further, and wins. The message sequence is the packet's count in
its stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from connectors.recording.messages import PICTURE, SOUND, WORDS
from pipelines.packet import Modality
from pipelines.watermark import StreamTime

BOUND = "/sensorium/bound"
GAP = "/sensorium/gap"
CUT = "/sensorium/cut"
REFUSED = "/sensorium/refused"
METADATA = "sensorium"

SCHEMA_OF: Mapping[Modality, str] = {"image": PICTURE, "audio": SOUND, "text": WORDS}
MODALITY_OF: Mapping[str, Modality] = {name: modality for modality, name in SCHEMA_OF.items()}

_LONGEST = 86_400 * 1_000_000_000
"""What a window, a bound and a lateness may be at most, ns: a day. More is no alignment but a damaged number."""

_INTEGER = {"type": "integer"}
_STRING = {"type": "string"}
_PROPERTIES: Mapping[str, Mapping[str, object]] = {
    BOUND: {"stream": _STRING, "timestamp": _INTEGER},
    GAP: {"stream": _STRING, "start": _INTEGER, "end": _INTEGER, "reason": _STRING},
    CUT: {
        "start": _INTEGER,
        "revision": _INTEGER,
        "through": {"type": "object", "additionalProperties": _INTEGER},
        "missing": {"type": "object", "additionalProperties": _STRING},
    },
    REFUSED: {"stream": _STRING, "count": _INTEGER},
}
CONTROL_TOPICS = tuple(_PROPERTIES)


def control_schema(topic: str) -> tuple[str, bytes]:
    """Schema name and JSON Schema of one of the four JSON channels."""
    properties = _PROPERTIES[topic]
    name = f"sensorium.{topic.rpartition('/')[2].capitalize()}"
    schema = {"title": name, "type": "object", "properties": properties, "required": list(properties)}
    return name, json.dumps(schema, sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the recorded run aligned its streams: with this and the recording a replay gives the same windows.

    Attributes:
        length: of a window, ns.
        hop: between the starts of two windows, ns.
        streams: per stream its bound, whether it holds, and when it is idle; a stream that never sent is here too.
        group: name of the streams that become one moment.
        lateness: how long a cut window could be filled up, ns.
        opened: the instant at which the streams were opened, ns since the epoch; None where no packet had come.
        modalities: of the streams whose modality was known when the recording began.
        counts: packets per stream that had passed before this file began (another segment holds them).
        exact: whether the file holds all that the aligner took since it was opened.
    """

    length: int
    hop: int
    streams: Mapping[str, StreamTime]
    group: str = "default"
    lateness: int = 0
    opened: int | None = None
    modalities: Mapping[str, Modality] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    exact: bool = True

    def to_metadata(self) -> dict[str, str]:
        """The strings of the MCAP metadata record; numbers and mappings as JSON."""
        streams = {
            name: {"bound": time.bound, "idle_after": time.idle_after, "holds": time.holds}
            for name, time in self.streams.items()
        }
        return {
            "version": "1",
            "group": self.group,
            "length": str(self.length),
            "hop": str(self.hop),
            "lateness": str(self.lateness),
            "opened": json.dumps(self.opened),
            "streams": json.dumps(streams, sort_keys=True),
            "modalities": json.dumps(dict(self.modalities), sort_keys=True),
            "counts": json.dumps(dict(self.counts), sort_keys=True),
            "exact": json.dumps(self.exact),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Alignment:
        """Read the strings back. Raises ValueError naming the entry that is missing or makes no sense."""

        def entry(key: str, kind: type, default: Any = None) -> Any:
            if key not in metadata and default is not None:
                return default
            try:
                value = metadata[key] if kind is str else json.loads(metadata[key])
            except (KeyError, ValueError) as error:
                raise ValueError(f"metadata `{METADATA}` has no readable `{key}`") from error
            return _typed(value, kind, key)

        length, hop, lateness = entry("length", int), entry("hop", int), entry("lateness", int, 0)
        if not 0 < hop <= length <= _LONGEST or not 0 <= lateness <= _LONGEST:
            raise ValueError(
                f"metadata `{METADATA}` has length {length}, hop {hop} and lateness {lateness}; "
                f"needed are 0 < hop <= length <= {_LONGEST} and 0 <= lateness <= {_LONGEST}"
            )
        opened = None if metadata.get("opened", "null") == "null" else entry("opened", int)
        modalities = entry("modalities", dict, {})
        return cls(
            length=length,
            hop=hop,
            streams={name: _stream_time(name, value) for name, value in entry("streams", dict).items()},
            group=entry("group", str, "default"),
            lateness=lateness,
            opened=opened,
            modalities={name: value for name, value in modalities.items() if value in get_args(Modality)},
            counts={name: _typed(value, int, "counts") for name, value in entry("counts", dict, {}).items()},
            exact=entry("exact", bool, True),
        )


def _stream_time(name: str, value: object) -> StreamTime:
    fields: dict[str, Any] = _typed(value, dict, f"streams.{name}")
    idle_after = fields.get("idle_after")
    bound = _typed(fields.get("bound", 0), int, f"streams.{name}.bound")
    if not 0 <= bound <= _LONGEST:
        raise ValueError(f"metadata `{METADATA}` has {bound} as `streams.{name}.bound`, which is not 0 to {_LONGEST}")
    return StreamTime(
        bound=bound,
        idle_after=None if idle_after is None else _typed(idle_after, int, f"streams.{name}.idle_after"),
        holds=_typed(fields.get("holds", True), bool, f"streams.{name}.holds"),
    )


def _typed(value: object, kind: type, where: str) -> Any:
    if type(value) is not kind:  # exact: JSON `true` is no number
        raise ValueError(f"metadata `{METADATA}` has {value!r:.40} as `{where}`, which must be {kind.__name__}")
    return value
