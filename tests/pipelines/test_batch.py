"""The batcher trades latency for throughput: it must wait only while the mind is busy, and mix up nobody's result."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.batch import Batcher, content_key
from pipelines.packet import Packet
from pipelines.testing import SmallMind


def text(words: str, stream: str = "s", at: int = 0) -> Packet:
    return Packet(stream, "text", at, words)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_the_first_goes_at_once_and_the_others_gather_while_it_runs(executor):
    go, sizes = threading.Event(), []

    def before(packets):
        sizes.append(len(packets))
        go.wait(10)

    async with Batcher(SmallMind(before).encode, executor=executor, max_batch=3) as batcher:
        first = batcher.submit(text("0"))
        while not sizes:
            await _turn()
        rest = [batcher.submit(text(str(number))) for number in range(1, 6)]
        go.set()
        results = [await future for future in (first, *rest)]
    assert sizes == [1, 3, 2]
    assert [result.text for result in results] == ["0", "1", "2", "3", "4", "5"]


async def test_equal_content_is_encoded_once_whatever_its_stream_and_time(executor):
    seen = []
    async with Batcher(SmallMind(seen.extend).encode, executor=executor) as batcher:
        one, two = batcher.submit(text("tea", "a", 1)), batcher.submit(text("tea", "b", 2))
        await two
        three = batcher.submit(text("tea", "c", 3))
        assert await one is await three
    assert len(seen) == 1
    assert batcher.shared == 2


async def test_what_is_remembered_is_bounded(executor):
    seen = []
    async with Batcher(SmallMind(seen.extend).encode, executor=executor, remembered=2) as batcher:
        for words in ("a", "b", "c", "a"):
            await batcher.submit(text(words))
    assert [packet.payload for packet in seen] == ["a", "b", "c", "a"]


async def test_a_failure_reaches_its_own_batch_only(executor):
    def before(packets):
        if packets[0].payload == "bad":
            raise RuntimeError("no")

    async with Batcher(SmallMind(before).encode, executor=executor, max_batch=1) as batcher:
        bad, good = batcher.submit(text("bad")), batcher.submit(text("good"))
        assert (await good).text == "good"
        with pytest.raises(RuntimeError, match="no"):
            await bad


def test_the_key_is_content_rate_and_shape():
    samples = np.arange(8, dtype=np.int16)
    keys = {
        content_key(Packet("m", "audio", 0, samples.reshape(8, 1), 16000)),
        content_key(Packet("m", "audio", 0, samples.reshape(4, 2), 16000)),
        content_key(Packet("m", "audio", 0, samples.reshape(8, 1), 8000)),
        content_key(Packet("m", "image", 0, samples.tobytes())),
    }
    assert len(keys) == 4


async def _turn() -> None:
    await asyncio.sleep(0)
