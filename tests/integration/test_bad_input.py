"""What a user would lose: a clear line about what is wrong, an honest exit code, and everything that can be read."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from scenes import START, bodies, configured, part, replayed, scene, write_recording

from connectors.recording.replay import open_recording
from connectors.recording.schema import Alignment
from daemon import build
from daemon.cli import call
from daemon.config.tree import Retention
from daemon.registry import RegistryError
from daemon.replaying import replay, with_sinks
from pipelines.clock import BootClock
from pipelines.errors import SensoriumError
from pipelines.packet import SECOND, Bound, Packet
from pipelines.testing import SmallMind
from pipelines.watermark import StreamTime
from pipelines.windowing.cut import Cut

ALIGNED = Alignment(2 * SECOND, SECOND, {name: StreamTime() for name in ("camera", "mic", "notes")})


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration and no store but the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in [name for name in os.environ if name.startswith("SENSORIUM_") and "MODELS" not in name]:
        monkeypatch.delenv(name)


def said(capfd: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Standard output, and the lines of the program on standard error."""
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out, [line for line in err.splitlines() if line.startswith("sensorium: ")]


# --- recordings that are none, or not whole


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"a text file\n", "no MCAP file"), (None, "No such file"), (b"\x89MCAP0\r\n", "footer")],
    ids=["empty", "text", "missing", "magic alone"],
)
@pytest.mark.models
def test_what_is_no_recording_is_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "a.mcap").write_bytes(content)
    assert call(["replay", "a.mcap", "--json"]) == 1
    _, [line] = said(capfd)
    assert "a.mcap" in line
    assert says in line


def test_a_directory_is_no_recording(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["replay", str(tmp_path)]) == 2
    assert "is a directory" in capfd.readouterr().err


@pytest.mark.models
def test_a_recording_that_is_cut_off_gives_what_is_there_and_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_recording(tmp_path / "whole.mcap", scene(6), chunk_bytes=8192).read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    assert call(["replay", "cut.mcap", "--store", "store", "--sink", "jsonl:out.jsonl", "--json"]) == 1
    out, lines = said(capfd)
    outcome = json.loads(out)
    assert outcome["moments"] == outcome["stored"] == len((tmp_path / "out.jsonl").read_bytes().splitlines()) > 2
    assert outcome["troubles"]
    assert [line.removeprefix("sensorium: ") for line in lines] == outcome["troubles"]
    assert all("cut.mcap" in line for line in lines)


def test_cut_anywhere_every_moment_before_the_cut_is_the_same(tmp_path: Path) -> None:
    """What lies a chunk and a window before the cut is as in the whole recording."""
    whole = write_recording(tmp_path / "whole.mcap", scene(6), chunk_bytes=4096)
    (tmp_path / "whole").mkdir()
    lines, _ = replayed(whole, tmp_path / "whole")
    data = whole.read_bytes()
    dice = random.Random(5)
    for number in range(12):
        place = dice.randrange(200, len(data) - 100)
        path = tmp_path / f"{number}.mcap"
        path.write_bytes(data[:place])
        (tmp_path / str(number)).mkdir()
        found, outcome = replayed(path, tmp_path / str(number))
        assert outcome.troubles
        assert found[: len(found) - 2] == lines[: max(len(found) - 2, 0)]  # the last ones may have lost a part


def test_a_flipped_bit_costs_its_chunk_and_nothing_else(tmp_path: Path) -> None:
    """Wherever it falls, it is told, and what every stream says of the moments that the chunk has no part in is the same."""
    streams = {**scene(6), "pulse": [Bound("pulse", START + n * SECOND) for n in range(6)]}
    cuts = [Cut(START + 2 * SECOND, 0, {"camera": 15, "mic": 30, "notes": 1}, {"notes": "deadline"})]
    whole = write_recording(tmp_path / "whole.mcap", streams, alignment=ALIGNED, cuts=cuts, chunk_bytes=4096)
    (tmp_path / "whole").mkdir()
    lines, _ = replayed(whole, tmp_path / "whole")
    clean, data = bodies(lines), whole.read_bytes()
    dice = random.Random(11)
    read = 0
    for number in range(20):
        broken = bytearray(data)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        path = tmp_path / f"{number}.mcap"
        path.write_bytes(broken)
        (tmp_path / str(number)).mkdir()
        try:
            found, outcome = replayed(path, tmp_path / str(number))
        except SensoriumError as error:
            assert str(path) in str(error)
            continue
        read += 1
        assert outcome.troubles or found == lines
        for stream in ("camera", "mic", "notes"):
            before, after = part(clean, stream), part(bodies(found), stream)
            assert sum(before[start] != after.get(start) for start in before) <= 3
            assert after.keys() <= before.keys()
    assert read >= 18


@pytest.mark.parametrize(
    "changed",
    [{"hop": 5 * SECOND}, {"hop": 0}, {"lateness": -1}, {"length": 10**40, "hop": 10**40},
     {"streams": {"camera": StreamTime(bound=-5)}}, {"streams": {"camera": StreamTime(bound=10**40)}}],
    ids=str,
)  # fmt: skip
def test_an_alignment_that_cannot_be_is_told_and_the_recording_replayed_without_it(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    path = write_recording(tmp_path / "a.mcap", scene(4), alignment=replace(ALIGNED, **changed))  # type: ignore[arg-type]
    lines, outcome = replayed(path, tmp_path)
    assert len(lines) == 5
    [trouble] = outcome.troubles
    assert "metadata `sensorium`" in trouble


def test_decisions_and_promises_that_make_no_sense_end_in_order(tmp_path: Path) -> None:
    """Numbers beyond any time, streams that are not there, joins of nobody: the packets are all kept."""
    cuts = [
        Cut(10**40, 0, {"camera": 3}, {}),
        Cut(-(10**40), 1, {}, {}),
        Cut(START, 7, {"camera": -3, "ghost": 10**30}, {"ghost": "idle"}),
        Cut(START + SECOND, 0, {"ghost": 5}, {"ghost": "joined"}),
    ]
    path = write_recording(tmp_path / "a.mcap", scene(4), alignment=ALIGNED, cuts=cuts)
    (tmp_path / "plain").mkdir()
    plain = write_recording(tmp_path / "plain.mcap", scene(4), alignment=ALIGNED)
    found, expected = bodies(replayed(path, tmp_path)[0]), bodies(replayed(plain, tmp_path / "plain")[0])
    for stream in ("camera", "mic", "notes"):
        assert part(found, stream) == part(expected, stream)


# --- configuration, disks, sinks


@pytest.mark.parametrize(
    ("config", "arguments", "says"),
    [
        ("streams: [1\n", (), "config.yaml:2"),
        ("aling:\n  length: 2s\n", (), "did you mean align"),
        ("align:\n  length: 1s\n  hop: 3s\n", (), "config.yaml:3"),
        ("", ("--set", "align.length=two"), "expected a duration"),
        ("", ("--set", "align.length=5000h"), "a day is the most"),
        ("", ("--sink", "jsnl:x"), "did you mean 'jsonl'"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_configuration_is_exit_code_78(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], config: str, arguments: tuple[str, ...], says: str
) -> None:
    write_recording(tmp_path / "a.mcap", scene(1))
    (tmp_path / "config.yaml").write_text(config)
    assert call(["replay", "a.mcap", *arguments]) == 78
    _, lines = said(capfd)
    assert says in "\n".join(lines)


@pytest.mark.models
@pytest.mark.parametrize("place", ["file/store", "/proc/nowhere/store", "database"])
def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], place: str) -> None:
    write_recording(tmp_path / "a.mcap", scene(1))
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "database" / "store.db").mkdir(parents=True)
    assert call(["replay", "a.mcap", "--store", place, "--quiet"]) == 1
    _, [line] = said(capfd)
    assert place.split("/", maxsplit=1)[0] in line


def test_a_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    recording = open_recording(write_recording(tmp_path / "a.mcap", scene(1)))
    root = os.geteuid() == 0  # who may write anywhere, and so is somebody else here for a moment
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o555)
        try:
            if root:
                os.seteuid(65_534)
            with pytest.raises(SensoriumError, match=closed):
                replay(configured(Path(closed) / "store"), recording, SmallMind())
        finally:
            if root:
                os.seteuid(0)
            Path(closed).chmod(0o755)


def test_a_file_that_cannot_be_written_fails_the_replay_and_loses_nothing(tmp_path: Path) -> None:
    """It ends by itself, and the same command delivers everything once the way is free."""
    path = write_recording(tmp_path / "a.mcap", scene(4))
    blocked, free = tmp_path / "blocked.jsonl", tmp_path / "free.jsonl"
    blocked.mkdir()
    config = with_sinks(configured(tmp_path / "store"), (f"jsonl:{blocked}", f"jsonl:{free}"))
    outcome = replay(config, open_recording(path), SmallMind())
    [trouble] = outcome.troubles
    assert str(blocked) in trouble
    assert os.strerror(errno.EISDIR) in trouble
    assert "5 moments wait" in trouble
    assert outcome.stored == len(free.read_bytes().splitlines()) == 5
    blocked.rmdir()
    assert replay(config, open_recording(path), SmallMind()).troubles == []
    assert blocked.read_bytes() == free.read_bytes()


@pytest.mark.parametrize("spec", ["jsonl", "jsonl:"])
def test_a_sink_named_without_its_file_says_how_to_write_it(tmp_path: Path, spec: str) -> None:
    with pytest.raises(RegistryError, match=r"needs the option path .* as in jsonl:moments.jsonl"):
        with_sinks(configured(tmp_path / "store"), (spec,))


def test_a_file_that_was_taken_away_is_written_anew_and_one_elsewhere_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recording(tmp_path / "a.mcap", scene(4))

    def out() -> bytes:
        config = with_sinks(configured(tmp_path / "store"), ("jsonl:out.jsonl",))
        assert replay(config, open_recording(path), SmallMind()).troubles == []
        return Path("out.jsonl").read_bytes()

    first = out()
    Path("out.jsonl").unlink()
    assert out() == first != b""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert out() == first


def test_json_has_standard_output_to_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_recording(tmp_path / "a.mcap", scene(1))
    assert call(["replay", "a.mcap", "--json", "--sink", "stdout"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "--json" in err


@pytest.mark.models
def test_troubles_are_lines_on_standard_error_beside_one_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_recording(tmp_path / "a.mcap", scene(4))
    (tmp_path / "blocked").mkdir()
    assert call(["replay", "a.mcap", "--store", "store", "--sink", "jsonl:blocked", "--json"]) == 1
    out, [line] = said(capfd)
    assert json.loads(out)["stored"] == 5
    assert "blocked" in line


@pytest.mark.models
@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 12, b"\0\0\0\x18ftypmp42"], ids=["empty", "noise", "header"])
def test_a_film_that_is_none_fails_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    (tmp_path / "notes.txt").write_text("0\thello\n1\tthere\n2\tagain\n")
    (tmp_path / "config.yaml").write_text(
        "streams:\n  film: {type: media, path: a.mp4, track: video}\n  notes: {type: text, path: notes.txt}\n"
    )
    assert call(["run", "--store", "store", "--set", "sinks.out.type=jsonl", "--set", "sinks.out.path=out.jsonl"]) == 1
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    assert "a.mp4" in out + err
    found = bodies((tmp_path / "out.jsonl").read_bytes().splitlines())
    assert [text for d in found for text in d["streams"]["notes"]["text"]].count("there") == 2


def test_a_disk_that_takes_nothing_ends_a_replay_that_goes_on_later(tmp_path: Path) -> None:
    long = [Packet("notes", "text", START + n * SECOND, f"{n} " + "x" * 300_000) for n in range(6)]
    path = write_recording(tmp_path / "a.mcap", {"notes": long})
    full = with_sinks(configured(tmp_path / "store"), (f"jsonl:{tmp_path / 'out.jsonl'}",))
    spent = replace(full, store=replace(full.store, retention=Retention(bytes=2**20)))
    clock = BootClock()

    async def attempt() -> None:
        group = build.replayed(spent, open_recording(path), clock=clock)
        with build.pipeline(spent, group, SmallMind(), clock=clock) as pipeline:
            await pipeline.run(patience=0.0)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(attempt())
    assert "budget" in str(caught.value.exceptions)
    assert replay(full, open_recording(path), SmallMind()).troubles == []
    (tmp_path / "whole").mkdir()
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(replayed(path, tmp_path / "whole")[0])


def test_recorded_words_cannot_steer_the_terminal(tmp_path: Path) -> None:
    from daemon.cli._moments import line

    words = "\x1b[2J\x1b]0;title\x07 tea\r\nis \x9b31m \u202eready"
    path = write_recording(tmp_path / "a.mcap", {"notes": [Packet("notes", "text", START, words)]})
    shown: list[str] = []
    replay(configured(tmp_path / "store"), open_recording(path), SmallMind(), on_moment=lambda m: shown.append(line(m).plain))
    assert all(text.isprintable() and "tea is" in text and "ready" in text for text in shown)
    assert len(shown) == 2
