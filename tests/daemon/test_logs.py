"""Logs are read by machines at night and by people in a hurry; stdout belongs to results."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest
import structlog

from daemon import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_away_from_a_terminal_every_line_is_one_json_object_with_a_fixed_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    with logs.configured(stream=stream):
        logs.logger().warning("source.failed", stream="camera.front", reason="two\nlines")
        logging.getLogger("a.library").warning("it said %s", "so")
        try:
            raise ValueError("boom")
        except ValueError:
            logs.logger().exception("run.failed")
    first, second, third = lines(stream)
    assert (first["event"], first["level"], first["stream"], first["reason"]) == (
        "source.failed", "warning", "camera.front", "two\nlines",
    )  # fmt: skip
    assert str(first["timestamp"]).endswith("Z")
    assert (second["event"], second["library"], second["message"]) == ("library.said", "a.library", "it said so")
    assert "ValueError: boom" in str(third["exception"])
    assert capsys.readouterr().out == "", "stdout belongs to results"


def test_the_level_is_kept_for_us_and_chatty_libraries_stay_out() -> None:
    stream = io.StringIO()
    with logs.configured(level="warning", stream=stream):
        logs.logger().info("window.closed")
        logging.getLogger("a.library").info("hello")
    assert stream.getvalue() == ""


def test_in_a_terminal_a_person_reads_a_line_and_no_traceback_shows_values() -> None:
    stream = Terminal()
    secret = "a user's words"
    with logs.configured(stream=stream):
        logs.logger().info("store.opened", path="here")
        try:
            raise ValueError(len(secret))
        except ValueError:
            logs.logger().exception("run.failed")
    text = stream.getvalue()
    assert "store.opened" in text and "here" in text and not text.startswith("{")
    assert "ValueError" in text and "a user's words\n" not in text and f"'{secret}'" not in text


def test_a_program_that_embeds_us_gets_its_own_logging_back() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, structlog.is_configured(), warnings.showwarning)
    with logs.configured(stream=io.StringIO()):
        assert structlog.is_configured()
    assert (root.handlers[:], root.level, structlog.is_configured(), warnings.showwarning) == before


def test_a_run_survives_that_nobody_takes_its_logs_any_more() -> None:
    stream = io.StringIO()
    with logs.configured(stream=stream):
        stream.close()
        logs.logger().error("source.failed", stream="camera.front", reason="unplugged")
        logging.getLogger("a.library").warning("and it said so")
    assert stream.closed
