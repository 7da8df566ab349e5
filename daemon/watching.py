"""A run that goes on until its sources end, somebody stops it, or its time is over."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pipelines.packet import SECOND

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def until_stopped(main: Coroutine[Any, Any, T], stop: Callable[[], None], *, within: int | None = None) -> T:
    """Run `main` to its end. SIGTERM, SIGINT, or `within` ns having passed call `stop`, which must let it end in order.

    The second signal is not waited for: KeyboardInterrupt.
    """

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main)
        asked = False

        def ask() -> None:
            nonlocal asked
            if asked:
                task.cancel()
            asked = True
            stop()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, ask)
        timer = None if within is None else loop.call_later(within / SECOND, stop)
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            if timer is not None:
                timer.cancel()
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)

    return asyncio.run(watched())
