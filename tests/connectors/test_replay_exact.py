"""What a user would lose: the same moments in the replay as in the live run, though the clock decided some of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.recording.replay import open_recording
from connectors.recording.schema import Alignment
from connectors.recording.writer import RecordingWriter
from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap, Packet
from pipelines.watermark import StreamTime
from pipelines.window import REFUSED, Window, Windower
from pipelines.windowing.cut import Cut

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
START = 1_760_000_000 * SECOND
STREAMS = {
    "camera": StreamTime(bound=200 * MILLISECOND, idle_after=SECOND),
    "notes": StreamTime(idle_after=2 * SECOND),
    "absent": StreamTime(idle_after=SECOND),
}
ALIGNMENT = Alignment(length=2 * SECOND, hop=SECOND, streams=STREAMS, lateness=3 * SECOND, opened=START)


def push(windower: Windower, event: Event, now: int) -> list[Window]:
    if isinstance(event, Packet):
        return windower.push(event, now)
    if isinstance(event, Bound):
        return windower.advance(event.stream, event.timestamp, now)
    return windower.gap(event, now)


def content(windows: list[Window]) -> dict[str, tuple[Any, ...]]:
    """The last revision of each window, as its body would have it."""
    return {
        window.id: (
            window.start,
            window.revision,
            window.complete,
            {name: [(p.timestamp, p.payload) for p in packets] for name, packets in window.packets.items()},
            dict(window.gaps),
        )
        for window in windows
    }


@st.composite
def live_step(draw: st.DrawFn) -> tuple[int, str, int]:
    """How long after the step before, what, and how far its event time lies from now."""
    what = draw(st.sampled_from(["camera", "camera", "camera", "notes", "bound", "gap", "tick", "ahead"]))
    return draw(st.integers(0, 1_200)) * MILLISECOND, what, draw(st.integers(-1_500, 50)) * MILLISECOND


def event_of(what: str, time: int, number: int) -> Event | None:
    if what == "camera":
        return Packet("camera", "image", time, JPEG + str(number).encode())
    if what == "notes":
        return Packet("notes", "text", time, f"line {number}")
    if what == "ahead":
        return Packet("notes", "text", time + 10**15, "from the far future")
    if what == "bound":
        return Bound("notes", time - 2 * SECOND)
    if what == "gap":
        return Gap("camera", time, time + 5 * MILLISECOND, "dropped")
    return None


@settings(max_examples=40, deadline=None)
@given(st.lists(live_step(), min_size=5, max_size=60), st.data())
def test_a_recorded_live_run_and_its_replay_give_the_same_windows(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("exact") / "a.mcap"
    now = START
    live: list[Window] = []
    with path.open("wb") as file:
        writer = RecordingWriter(file, alignment=ALIGNMENT, modalities={"absent": "audio"}, chunk_bytes=600)

        def late(packet: Packet, reason: str) -> None:
            if reason in REFUSED:
                writer.refused(packet.stream, windower.counters[packet.stream].received, now)

        def on_cut(cut: Cut) -> None:
            writer.cut(cut, now)

        windower = Windower(
            length=ALIGNMENT.length,
            hop=ALIGNMENT.hop,
            streams=STREAMS,
            lateness=ALIGNMENT.lateness,
            deadline=500 * MILLISECOND,
            max_ahead=3_600 * SECOND,
            late=late,
            on_cut=on_cut,
        )
        live += windower.tick(now)
        for number, (pause, what, offset) in enumerate(steps):
            now += pause
            event = event_of(what, now + offset, number)
            if event is None:
                live += windower.tick(now)
            else:
                writer.write(event, now)
                live += push(windower, event, now)
        live += windower.close()
        writer.close()

    recording = open_recording(path)
    assert recording.alignment is not None
    assert recording.cuts is not None
    assert recording.exact
    again = Windower(
        length=recording.alignment.length,
        hop=recording.alignment.hop,
        streams=recording.alignment.streams,
        lateness=recording.alignment.lateness,
        cuts=recording.cuts,
    )
    replayed: list[Window] = []
    queues = {
        name: [event for batch in recording.source(name).batches() for event in batch] for name in recording.streams
    }
    while any(queues.values()):
        stream = data.draw(st.sampled_from([name for name, queue in queues.items() if queue]))
        replayed += push(again, queues[stream].pop(0), 0)
    for name in recording.streams:
        replayed += again.close(name)
    assert content(replayed) == content(live)
