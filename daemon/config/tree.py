"""The configuration as one frozen tree; durations are ns, sizes are bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from daemon.units import Duration, Positive, Size
from pipelines.errors import SensoriumError

Mode: TypeAlias = Literal["live", "event_time"]
Overflow: TypeAlias = Literal["block", "drop_oldest", "keep_latest", "drop_newest"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: where it stands, what was expected, and the nearest right thing where there is one."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(SensoriumError):
    """Everything that is wrong with a configuration, one line each."""

    exit_code = 78

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Bounds of the queue behind one source; `overflow` None is what the source itself asks for."""

    items: Annotated[int, Positive] = 256
    bytes: Annotated[Size, Positive] = 64_000_000
    age: Duration | None = None
    overflow: Overflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One source. `options` are the keywords of its constructor, checked against its type hints."""

    type: str
    bound: Duration = 0
    idle_after: Duration | None = None
    holds: bool = True
    channel: Channel = field(default_factory=Channel)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Align:
    """How packets become moments. `deadline`, `idle_after` and `max_ahead` concern live groups only."""

    mode: Literal["window"] = "window"
    length: Annotated[Duration, Positive] = 2 * _SECOND
    hop: Annotated[Duration, Positive] = 1 * _SECOND
    lateness: Duration = 0
    deadline: Duration | None = _SECOND // 2
    idle_after: Duration | None = 2 * _SECOND
    max_ahead: Duration | None = 3600 * _SECOND
    budget: Size | None = 256_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """The models' settings: `multimodal.IntegrationConfig` has the same in full. `weights` None is untrained: the mean."""

    fusion_method: Literal["mean", "early", "late", "hierarchical", "bilinear", "adaptive"] = "mean"
    weights: Path | None = None
    batch_size: Annotated[int, Positive] = 32
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True
    text: str = "embedded"
    image: str = "embedded"
    audio: str = "embedded"
    local_files_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What the store keeps: by age since it was written, by size, and what gives when the size is spent."""

    age: Duration | None = 30 * 86_400 * _SECOND
    bytes: Annotated[Size, Positive] = 10_000_000_000
    when_full: Literal["block", "drop"] = "block"
    media_age: Duration | None = 7 * 86_400 * _SECOND
    media_bytes: Size = 1_000_000_000


def default_store() -> Path:
    """`$XDG_DATA_HOME/sensorium/store`, else under ~/.local/share."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "sensorium" / "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the moments live."""

    path: Path = field(default_factory=default_store)
    thumbnails: bool = True
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """One place moments are delivered to. `options` are the keywords of its constructor."""

    type: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The recording that a run makes on the way; None makes none."""

    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """`auto` is console in a terminal, JSON otherwise."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole. `mode` None is what the sources are; `load` has checked that they agree."""

    group: str = "default"
    mode: Mode | None = None
    streams: Mapping[str, Stream] = field(default_factory=dict)
    align: Align = field(default_factory=Align)
    mind: Mind = field(default_factory=Mind)
    store: Store = field(default_factory=Store)
    sinks: Mapping[str, Sink] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    logs: Logs = field(default_factory=Logs)
