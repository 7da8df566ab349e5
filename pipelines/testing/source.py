"""A source that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TypeAlias

from pipelines.packet import Bound, Event, Gap, Packet
from pipelines.protocols import Overflow

Step: TypeAlias = "Event | Exception | asyncio.Event | Callable[[], None]"


class ScriptedSource:
    """Yields each event of `script`; raises an exception in it; waits for an asyncio.Event in it; calls a callable in it.

    A callable is how a script moves a SettableClock between two packets. `closed` tells whether the generator was closed.
    """

    def __init__(self, script: Iterable[Step], *, overflow: Overflow = "block") -> None:
        self.overflow: Overflow = overflow
        self.closed = False
        self._script = script

    async def events(self) -> AsyncGenerator[Event, None]:
        """The script, once."""
        try:
            for step in self._script:
                if isinstance(step, Packet | Bound | Gap):
                    yield step
                elif isinstance(step, Exception):
                    raise step
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    step()
                    await asyncio.sleep(0)
        finally:
            self.closed = True
