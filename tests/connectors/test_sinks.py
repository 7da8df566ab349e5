"""The sinks on this machine: what a person finds in the file or behind the pipe, whatever happened meanwhile."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sinks.jsonl import JsonlSink
from connectors.sinks.stdout import StdoutSink
from pipelines.errors import Reject, Retry, SensoriumError
from pipelines.protocols import Record, Sink
from pipelines.testing.sink_contract import SinkContract, some_records


class TestJsonl(SinkContract):
    exactly_once = True

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "deep" / "moments.jsonl"

    async def open(self) -> Sink:
        return JsonlSink(self.path)

    async def delivered(self) -> Sequence[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []


class TestStdout(SinkContract):
    @pytest.fixture(autouse=True)
    def place(self) -> None:
        self.stream = io.BytesIO()

    async def open(self) -> Sink:
        return StdoutSink(self.stream)

    async def delivered(self) -> Sequence[bytes]:
        return self.stream.getvalue().splitlines()


def _lines(records: Sequence[Record]) -> bytes:
    return b"".join(record.body + b"\n" for record in records)


@settings(max_examples=40, deadline=None)
@given(
    lives=st.lists(st.tuples(st.lists(st.integers(1, 7), max_size=3), st.integers(1, 7), st.floats(0, 1)), max_size=6)
)
async def test_a_file_after_kills_is_byte_identical_to_an_uninterrupted_one(
    lives: list[tuple[list[int], int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each life of the process: some acknowledged batches, then one whose write, or the cursor behind it, a kill cuts."""
    records = some_records(40)
    path = tmp_path_factory.mktemp("killed") / "moments.jsonl"
    cursor = 0
    for acknowledged, last, torn in lives:
        sink = JsonlSink(path, fsync="never")
        for size in acknowledged:
            await sink.write(records[cursor : cursor + size])
            cursor = min(cursor + size, len(records))
        before = max(path.stat().st_size if path.exists() else 0, len(_lines(records[:cursor])))
        await sink.write(records[cursor : cursor + last])
        await sink.aclose()
        after = path.stat().st_size
        before = min(before, after)
        os.truncate(path, before + round((after - before) * torn))
    sink = JsonlSink(path, fsync="never")
    await sink.write(records[cursor:])
    await sink.aclose()
    assert path.read_bytes() == _lines(records)


async def test_the_same_recording_replayed_into_the_same_file_twice_leaves_one_copy(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    for _ in range(2):
        sink = JsonlSink(path)
        await sink.write(some_records(5))
        await sink.aclose()
    assert path.read_bytes() == _lines(some_records(5))


async def test_a_moment_that_became_different_is_written_although_its_id_is_there(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    first = some_records(1)
    other = [first[0]._replace(body=b'{"id":"moment-1","revision":0,"text":"another model"}')]
    for records in (first, other):
        sink = JsonlSink(path)
        await sink.write(records)
        await sink.aclose()
    assert path.read_bytes() == _lines(first) + _lines(other)


async def test_a_body_of_two_lines_is_rejected_and_those_before_it_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    records = some_records(3)
    records[1] = records[1]._replace(body=b"{\n}")
    sink = JsonlSink(path)
    with pytest.raises(Reject) as refusal:
        await sink.write(records)
    await sink.aclose()
    assert refusal.value.record is records[1]
    assert path.read_bytes() == _lines(records[:1])


async def test_a_file_that_is_no_file_of_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff precious")
    with pytest.raises(Retry, match="not a file of this sink"):
        await JsonlSink(path).write(some_records(1))
    assert path.read_bytes() == b"\xff\xd8\xff precious"


async def test_a_place_that_cannot_be_written_is_tried_again_and_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Retry, match="taken"):
        await JsonlSink(tmp_path / "taken" / "moments.jsonl").write(some_records(1))


async def test_a_full_disk_behind_standard_output_is_tried_again() -> None:
    if not os.path.exists("/dev/full"):  # noqa: ASYNC240, PTH110
        pytest.skip("needs /dev/full, which Linux has")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(Retry, match="No space left"):  # noqa: ASYNC230, PTH123
        await StdoutSink(full).write(some_records(1))


def test_a_wrong_option_is_refused_with_the_right_ones() -> None:
    with pytest.raises(SensoriumError, match="'batch', 'close' or 'never'"):
        JsonlSink("x", fsync="sometimes")  # type: ignore[arg-type]


async def test_when_the_reader_of_the_pipe_has_gone_the_run_can_end() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as stream, pytest.raises(Reject) as refusal:  # noqa: ASYNC230, PTH123
        await StdoutSink(stream).write(some_records(2))
    assert refusal.value.record == some_records(2)[0]


async def test_what_is_written_is_json_a_line(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    sink = JsonlSink(path, fsync="close")
    await sink.write(some_records(2))
    await sink.aclose()
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == ["moment-1", "moment-2"]
