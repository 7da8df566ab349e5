"""What a user would lose: words and their times, from files and from a pipe."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from connectors.sources._times import instant, seconds
from connectors.sources.stdin import StdinText
from connectors.sources.text import TextFile
from pipelines.errors import SourceError
from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap, Packet
from pipelines.testing import SettableClock
from pipelines.testing.source_contract import check_source

START = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z


async def read(source: TextFile | StdinText) -> list[Event]:
    return [event async for event in source.events()]


def write(folder: Path, content: bytes | str) -> Path:
    path = folder / "notes.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- a file with times


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (f'{{"time": {START + 7}, "text": "tea"}}', START + 7),
        ('{"time": "2026-01-01T00:00:00.123456789Z", "text": "tea"}', START + 123_456_789),
        ("2026-01-01T02:00:01+02:00\ttea", START + SECOND),
        ("2026-01-01 00:00:01\ttea", START + SECOND),
        ("12.5\ttea", START + 12 * SECOND + 500 * MILLISECOND),
        ("0.000000001\ttea\r", START + 1),
        ("-1\ttea", START - SECOND),
    ],
)
async def test_a_line_says_when_it_was_said(tmp_path: Path, line: str, time: int) -> None:
    source = TextFile("notes", path=write(tmp_path, line + "\n"), start="2026-01-01T00:00:00Z")
    assert await read(source) == [Packet("notes", "text", time, "tea", None, 0)]
    assert source.skipped == {}


async def test_lines_come_in_the_order_of_the_file_and_a_tab_may_be_in_the_text(tmp_path: Path) -> None:
    source = TextFile("notes", path=write(tmp_path, "\ufeff3\tc\n\n1\ta\tb\n2\tlast without newline"))
    assert [(event.timestamp // SECOND, event.payload) for event in await read(source)] == [  # type: ignore[union-attr]
        (3, "c"),
        (1, "a\tb"),
        (2, "last without newline"),
    ]


async def test_bad_lines_are_counted_and_cost_only_themselves(tmp_path: Path) -> None:
    lines = [
        b"1\tbefore",
        b"no time at all",
        b"yesterday\ttext",
        b'{"time": 1.5, "text": "no float"}',
        b'{"time": true, "text": "no bool"}',
        b'{"time": 1}',
        b"{" * 5_000,
        b"[1, 2]",
        b"1e999999999\tfar",
        b"nan\tnever",
        b'{"time": 99999999999999999999999, "text": "later than 2262"}',
        b"2\tcaf\xe9",
        b"3\tafter",
    ]
    source = TextFile("notes", path=write(tmp_path, b"\n".join(lines)))
    assert [event.payload for event in await read(source)] == ["before", "caf\ufffd", "after"]  # type: ignore[union-attr]
    assert source.skipped == {"no time or no text": 10, "invalid UTF-8 replaced": 1}


async def test_a_line_without_end_is_told_and_never_held(tmp_path: Path) -> None:
    content = (
        b"1\tbefore\n2\t"
        + b"x" * 300_000
        + b"\n"
        + b'{"time": 3, "text": "'
        + b"y" * 300_000
        + b'"}\n4\t'
        + b"z" * 98
        + b"\n"
    )
    source = TextFile("notes", path=write(tmp_path, content), max_bytes=100)
    before, gap, after = await read(source)
    assert (before.payload, after.payload) == ("before", "z" * 98)  # type: ignore[union-attr]
    assert gap == Gap("notes", 2 * SECOND, 2 * SECOND + 1, "text is over the limit of 100 bytes")
    assert source.skipped == {"too long": 2}


async def test_a_file_that_is_not_there_or_holds_no_times_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.txt cannot be read: No such file"):
        await read(TextFile("notes", path=tmp_path / "gone.txt"))
    with pytest.raises(SourceError, match=r"no line that can be read; line 1: no tab .*; write \{"):
        await read(TextFile("notes", path=write(tmp_path, "just a letter\nto someone")))
    with pytest.raises(SourceError, match="`start` 'noon' is no time"):
        TextFile("notes", path=tmp_path / "a.txt", start="noon")
    assert await read(TextFile("notes", path=write(tmp_path, ""))) == []


async def test_the_file_source_keeps_the_contract(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{n}\tline {n}\n" for n in range(2_000)))
    events = await check_source(lambda: TextFile("notes", path=path), faulty=lambda: TextFile("notes", path=tmp_path))
    assert len(events) == 2_000


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "9" * 19, "1" * 41, str(2**63)])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time|too long"):
        instant(text)


def test_times_are_exact_to_the_nanosecond() -> None:
    assert instant(str(START + 1)) == START + 1
    assert instant("1969-12-31T23:59:59.999999999Z") == -1
    assert instant("20260101") == START
    assert seconds("1767225600.000000001") == START + 1


# --- standard input


class Pipe:
    """The two ends of a pipe; the source gets the reading one."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def end(self) -> None:
        os.close(self._writing)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self.reading, self._writing):
            try:
                os.close(descriptor)
            except OSError:
                continue


async def test_a_line_happens_when_it_arrives(tmp_path: Path) -> None:
    clock = SettableClock(START)
    with Pipe() as pipe:
        source = StdinText("notes", clock=clock, descriptor=pipe.reading, heartbeat=3_600 * SECOND)
        stream = source.events()
        pipe.write(b"tea is\n\nready\r\nhalf a")
        first, second = await anext(stream), await anext(stream)
        clock.advance(SECOND)
        pipe.write(b" line")
        pipe.end()
        rest = [event async for event in stream]
    assert [first, second, *rest] == [
        Packet("notes", "text", START, "tea is", None, 0),
        Packet("notes", "text", START, "ready", None, 1),
        Packet("notes", "text", START + SECOND, "half a line", None, 2),
    ]


async def test_silence_advances_time() -> None:
    clock = SettableClock(START)
    with Pipe() as pipe:
        stream = StdinText("notes", clock=clock, descriptor=pipe.reading, heartbeat=MILLISECOND).events()
        assert await anext(stream) == Bound("notes", START)
        clock.advance(5)
        while (bound := await anext(stream)) == Bound("notes", START):
            pass
        assert bound == Bound("notes", START + 5)
        pipe.write(b"after\n")
        while not isinstance(event := await anext(stream), Packet):
            pass
        assert event.timestamp == START + 5
        await stream.aclose()


async def test_closing_loses_no_line_that_comes_later() -> None:
    """Whoever reads the pipe next gets it: the thread is woken, and not left behind in a read."""
    with Pipe() as pipe:
        source = StdinText("notes", clock=SettableClock(START), descriptor=pipe.reading, heartbeat=3_600 * SECOND)
        task = asyncio.create_task(read(source))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        pipe.write(b"later\n")
        assert os.read(pipe.reading, 100) == b"later\n"


async def test_timed_lines_carry_their_own_time_and_make_the_input_wait() -> None:
    with Pipe() as pipe:
        source = StdinText("notes", clock=SettableClock(START), descriptor=pipe.reading, timed=True)
        pipe.write(b'{"time": 5, "text": "a"}\nnonsense\n2\tb\n')
        pipe.end()
        assert [(event.timestamp, event.payload) for event in await read(source)] == [(5, "a"), (2 * SECOND, "b")]  # type: ignore[union-attr]
    assert source.overflow == "block"
    assert source.skipped == {"no time or no text": 1}
    with Pipe() as pipe:
        pipe.write(b"nonsense\n")
        pipe.end()
        with pytest.raises(SourceError, match="line 1: no tab"):
            await read(StdinText("notes", clock=SettableClock(), descriptor=pipe.reading, timed=True))


async def test_a_text_without_end_becomes_a_gap_and_the_next_line_is_there() -> None:
    with Pipe() as pipe:
        source = StdinText(
            "notes", clock=SettableClock(START), descriptor=pipe.reading, heartbeat=3_600 * SECOND, max_bytes=100
        )

        def fill() -> None:
            for _ in range(40):
                pipe.write(b"x" * 10_000)
            pipe.write(b"\nnext caf\xe9\n")
            pipe.end()

        filling = asyncio.create_task(asyncio.to_thread(fill))
        gap, line = await read(source)
        await filling
    assert gap == Gap("notes", START, START + 1, "text is over the limit of 100 bytes")
    assert line.payload == "next caf\ufffd"  # type: ignore[union-attr]
    assert source.skipped == {"too long": 1, "invalid UTF-8 replaced": 1}


async def test_input_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceError, match="input cannot be read: Is a directory"):
        await read(StdinText("notes", clock=SettableClock(), descriptor=folder))
    os.close(folder)
    with pytest.raises(SourceError, match="heartbeat"):
        StdinText("notes", clock=SettableClock(), heartbeat=0)


async def test_standard_input_keeps_the_contract() -> None:
    pipes: list[Pipe] = []

    def make() -> StdinText:
        pipe = Pipe()
        pipes.append(pipe)
        pipe.write(b"tea\nis\nready\n")
        pipe.end()
        return StdinText("notes", clock=SettableClock(START), descriptor=pipe.reading, heartbeat=3_600 * SECOND)

    try:
        assert len(await check_source(make)) == 3
    finally:
        for pipe in pipes:
            os.close(pipe.reading)
