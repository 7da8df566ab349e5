"""An operator's SIGTERM must end a run in order: what has arrived is kept, and the exit code says so."""

import asyncio
import os
import signal

import pytest

from daemon.watching import until_stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_sources_and_lets_the_rest_end(number):
    stopped = asyncio.Event()

    async def work():
        os.kill(os.getpid(), number)
        await stopped.wait()
        return "in order"

    assert until_stopped(work(), stopped.set) == "in order"


def test_the_second_signal_is_not_waited_for():
    async def work():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        until_stopped(work(), lambda: None)


def test_time_being_over_stops_it_too():
    stopped = asyncio.Event()
    assert until_stopped(stopped.wait(), stopped.set, within=1)
