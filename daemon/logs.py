"""Log events: a fixed name in the form `noun.verb` and keys, to stderr; never a payload, never a user's words.

    log = logs.logger()
    log.warning("source.failed", stream="camera.front", reason="no such device")

In a terminal a line a person reads, elsewhere one JSON object a line. What libraries say through `logging` comes out in
the same form as `library.said`. Nothing is configured on import; a command calls `configure` once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]


def logger() -> Any:
    """The logger of the program; what is bound to it with `bind` stands in each of its events."""
    return structlog.get_logger()


def configure(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Send all events of at least `level` to `stream` (stderr, looked up at each call of a command)."""
    stream = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback  # no locals: payloads
            )]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=True, default=str)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unbreakable(stream))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _from_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    logging.captureWarnings(True)


@contextmanager
def configured(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> Iterator[None]:
    """As `configure`, with everything as it was before at the end: for tests and for programs that embed this one."""
    root = logging.getLogger()
    handlers, root_level, was = root.handlers[:], root.level, structlog.get_config()
    configured_before = structlog.is_configured()
    root.handlers.clear()  # kept aside, so that basicConfig(force=True) does not close them
    try:
        configure(level, form, stream)
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        logging.captureWarnings(False)
        if configured_before:
            structlog.configure(**was)
        else:
            structlog.reset_defaults()


class _Unbreakable:
    """A stream whose reader may go away: what is lost then is a line of a log, not the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _from_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A sentence of a library becomes the key `message` of a fixed event."""
    event["message"] = event["event"]
    event["event"] = "library.said"
    record = event.get("_record")
    if record is not None:
        event["library"] = record.name
    return event
