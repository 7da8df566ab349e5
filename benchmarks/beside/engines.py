"""The same events through other stream engines; a script of its own, so that it runs where they are installed.

    PYTHON benchmarks/beside/engines.py pipecat|bytewax SECONDS STAGES

prints one line of JSON: version, events, events a second of time and of the processor. SECONDS is of event time, each with
30 pictures, 50 sounds and one text.
It imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

RATES = {"camera": 30, "mic": 50, "notes": 1}
JPEG, PCM, TEXT = bytes(15_000), bytes(640), "tea is ready"


def in_order(seconds: int) -> list[tuple[float, str]]:
    """(event time in seconds, stream) of every event, oldest first."""
    return sorted((i / rate, name) for name, rate in RATES.items() for i in range(seconds * rate))


def pipecat(seconds: int, stages: int) -> tuple[float, float]:
    """Seconds of time and of the processor through `stages` processors that pass every frame on."""
    from loguru import logger
    from pipecat.frames.frames import EndFrame, Frame, OutputAudioRawFrame, OutputImageRawFrame, TextFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.workers.runner import WorkerRunner

    logger.remove()
    seen: list[tuple[float, float]] = []

    class Pass(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            await self.push_frame(frame, direction)

    class First(Pass):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if not seen and isinstance(frame, (OutputImageRawFrame, OutputAudioRawFrame, TextFrame)):
                seen.append((time.perf_counter(), time.process_time()))
            await super().process_frame(frame, direction)

    class Last(Pass):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, EndFrame):
                seen.append((time.perf_counter(), time.process_time()))
            await super().process_frame(frame, direction)

    async def run() -> None:
        make: dict[str, Any] = {
            "camera": lambda: OutputImageRawFrame(image=JPEG, size=(320, 240), format="JPEG"),
            "mic": lambda: OutputAudioRawFrame(audio=PCM, sample_rate=16_000, num_channels=1),
            "notes": lambda: TextFrame(text=TEXT),
        }
        frames = [make[name]() for _, name in in_order(seconds)]
        worker = PipelineWorker(
            Pipeline([First(), *(Pass() for _ in range(stages - 2)), Last()]), enable_rtvi=False,
            enable_turn_tracking=False, idle_timeout_secs=None, check_dangling_tasks=False,
        )  # fmt: skip
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        await worker.queue_frames([*frames, EndFrame()])
        await runner.add_workers(worker)
        await runner.run()

    asyncio.run(run())
    return seen[1][0] - seen[0][0], seen[1][1] - seen[0][1]


def bytewax(seconds: int, stages: int) -> tuple[float, float]:
    """The same for windows of two seconds every second over one key, collected; it has no stages to choose."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.operators import windowing
    from bytewax.testing import TestingSink, TestingSource, run_main

    epoch = datetime(2026, 1, 1, tzinfo=UTC)
    payload = {"camera": JPEG, "mic": PCM, "notes": TEXT}
    events = [("hall", (epoch + timedelta(seconds=at), name, payload[name])) for at, name in in_order(seconds)]
    windows: list[Any] = []
    flow = Dataflow("windows")
    stream = op.input("in", flow, TestingSource(events, batch_size=256))
    clock = windowing.EventClock(ts_getter=lambda event: event[0], wait_for_system_duration=timedelta(seconds=0.1))
    cut = windowing.SlidingWindower(length=timedelta(seconds=2), offset=timedelta(seconds=1), align_to=epoch)
    op.output("out", windowing.collect_window("collect", stream, clock, cut).down, TestingSink(windows))
    begun, used = time.perf_counter(), time.process_time()
    run_main(flow)
    taken = time.perf_counter() - begun, time.process_time() - used
    if len(windows) < seconds:
        raise RuntimeError(f"{len(windows)} windows of {seconds} s")
    return taken


def main() -> None:
    name, seconds, stages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    taken, used = {"pipecat": pipecat, "bytewax": bytewax}[name](seconds, stages)
    package = {"pipecat": "pipecat-ai", "bytewax": "bytewax"}[name]
    events = len(in_order(seconds))
    print(json.dumps({"version": version(package), "events": events, "rate": events / taken, "of_cpu": events / used}))


if __name__ == "__main__":
    main()
