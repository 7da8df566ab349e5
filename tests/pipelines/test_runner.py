"""The stream as a whole, with a mind without weights: what a user loses if it is wrong is moments, or their sameness."""

import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import numpy as np
import pytest

from pipelines.group import Group
from pipelines.moment import Moment
from pipelines.packet import SECOND, Event, Packet
from pipelines.runner import Runner
from pipelines.stages.encode import EncodedWindow
from pipelines.testing import ScriptedSource, SettableClock, SmallMind
from pipelines.window import Windower

LENGTH = 2 * SECOND


async def collect(moments: AsyncIterator[tuple[EncodedWindow, Moment]]) -> AsyncGenerator[Moment, None]:
    async for _, moment in moments:
        yield moment


def scene(seconds: int = 10) -> dict[str, list[Event]]:
    chunk = SECOND // 10
    return {
        "camera": [Packet("camera", "image", at * SECOND // 5, b"jpeg %d" % at) for at in range(seconds * 5)],
        "mic": [
            Packet("mic", "audio", at * chunk, np.full((1600, 1), at, np.int16), 16000) for at in range(seconds * 10)
        ],
        "notes": [Packet("notes", "text", 3 * SECOND, "tea is ready"), Packet("notes", "text", 7 * SECOND, "hello")],
    }


async def replay(
    script: dict[str, Sequence[object]], *, trouble=lambda stream, error: None, **changes: int
) -> tuple[list[bytes], Runner]:
    group = Group(
        sources={stream: ScriptedSource(events) for stream, events in script.items()},
        windower=Windower(length=LENGTH, hop=SECOND, streams=list(script)),
        clock=SettableClock(),
        live=False,
        trouble=trouble,
    )
    runner = Runner(group=group, mind=SmallMind(), keep=collect, **changes)
    bodies: list[bytes] = []
    await runner.run(lambda moment: bodies.append(moment.body(0)))
    return bodies, runner


async def test_every_window_of_a_recording_becomes_one_moment_in_order():
    bodies, runner = await replay(scene())
    assert len(bodies) == len(set(bodies)) == runner.moments == 11  # starts -1 s .. 9 s
    for channel in runner.group.channels.values():
        assert channel.counts.received == channel.counts.sent
        assert channel.in_flight == 0


@pytest.mark.parametrize("max_batch", [1, 3, 32])
async def test_bodies_do_not_depend_on_batches(max_batch):
    bodies, _ = await replay(scene(), max_batch=max_batch, max_in_flight=max_batch)
    assert bodies == (await replay(scene()))[0]


async def test_bodies_do_not_depend_on_the_chunks_of_the_sound():
    script = scene()
    samples = np.concatenate([packet.payload for packet in script["mic"]])
    generator, edges = random.Random(7), [0]
    while edges[-1] < len(samples):
        edges.append(min(edges[-1] + generator.randint(1, 5000), len(samples)))
    script["mic"] = [
        Packet("mic", "audio", a * SECOND // 16000, samples[a:b], 16000) for a, b in zip(edges, edges[1:], strict=False)
    ]
    bodies, plain = (await replay(script))[0], (await replay(scene()))[0]
    assert [_without_counts(body) for body in bodies] == [_without_counts(body) for body in plain]


async def test_a_source_that_fails_ends_alone_and_is_named():
    script: dict[str, list[object]] = {**scene()}
    script["notes"] = [script["notes"][0], ValueError("torn page")]
    told: list[tuple[str, str]] = []
    bodies, runner = await replay(script, trouble=lambda stream, error: told.append((stream, str(error))))
    plain = {**scene()}
    plain["notes"] = plain["notes"][:1]
    assert bodies == (await replay(plain))[0]
    assert runner.group.failed == {"notes": "torn page"}
    assert told[0][0] == "notes"
    assert "torn page" in told[0][1]


async def test_a_failure_behind_the_merge_ends_the_run_and_closes_every_source():
    def before(packets: Sequence[Packet]) -> None:
        raise RuntimeError("out of memory")

    sources = {stream: ScriptedSource(events) for stream, events in scene().items()}
    group = Group(
        sources=sources, windower=Windower(length=LENGTH, streams=list(sources)), clock=SettableClock(), live=False
    )
    runner = Runner(group=group, mind=SmallMind(before), keep=collect)
    with pytest.raises(ExceptionGroup) as raised:
        await runner.run()
    assert raised.group_contains(RuntimeError, match="out of memory")
    assert all(source.closed for source in sources.values())


async def test_stopping_a_live_run_keeps_what_had_arrived():
    clock = SettableClock(10 * SECOND)
    camera = [Packet("camera", "image", 10 * SECOND + at, b"%d" % at) for at in range(3)]
    group = Group(
        sources={"camera": ScriptedSource([*camera, lambda: stop()], overflow="drop_oldest")},  # noqa: PLW0108
        windower=Windower(length=LENGTH, streams=["camera"], idle_after=2 * SECOND, deadline=SECOND // 2),
        clock=clock,
        live=True,
    )
    runner = Runner(group=group, mind=SmallMind(), keep=collect)
    stop = runner.stop
    moments: list[Moment] = []
    await runner.run(moments.append)
    assert [(m.complete, m.streams["camera"].packets) for m in moments] == [(False, 3)]


def _without_counts(body: bytes) -> bytes:
    return re.sub(rb'"packets":\d+', b"", body)
