"""Inputs as they come, results in their order: two bounded queues and one thread that lives while there is work."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from multimodal.errors import NotReadyError, QueueFullError
from multimodal.integration.config import QueueOverflow
from multimodal.types import MultimodalInput, MultimodalOutput

Callback = Callable[["RealTimeResult"], object]
Attempt = Callable[[Sequence[MultimodalInput]], Sequence[MultimodalOutput | Exception]]

_log = logging.getLogger("multimodal.integration")


@dataclass(frozen=True, slots=True, eq=False)
class RealTimeResult:
    """What became of one input.

    Attributes:
        sequence: number that `add` gave it.
        output: None where it failed.
        error: why it failed, or None.
    """

    sequence: int
    output: MultimodalOutput | None
    error: Exception | None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    sequence: int
    given: MultimodalInput
    callback: Callback | None


class RealTimeQueue:
    """Thread-safe. `received = delivered + dropped + waiting + being computed`, and each input once, in order.

    - What waits is computed together, up to `batch` at once: a backlog costs less per input.
    - A result goes to the callback that came with its input, called in the worker's thread; without one it waits for
      `results`. Where `size` of those wait, "block" computes no further until one is taken; "drop_oldest" loses the oldest.
    - Where `size` inputs wait, "block" lets `add` wait; "drop_oldest" loses the oldest input.
    - An input or a callback that fails is counted and stops nothing.

    The worker ends where there is nothing to do, so a program that forgets to close can still end.

    Args:
        attempt: inputs -> an output or an exception for each, in order.
        size: of both queues.
        batch: inputs in one call of `attempt` at most.
    """

    def __init__(self, attempt: Attempt, *, size: int, batch: int, overflow: QueueOverflow) -> None:
        self._attempt, self._size, self._batch, self._overflow = attempt, size, batch, overflow
        self._inputs: deque[_Waiting] = deque()
        self._results: deque[RealTimeResult] = deque()
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None
        self._computing = 0
        self._closed = False
        self._received = self._delivered = self._dropped = self._failed = 0

    def add(self, given: MultimodalInput, callback: Callback | None = None, timeout: float | None = None) -> int:
        """Returns its number, counted from 0.

        Raises:
            QueueFullError: `timeout` seconds have passed and the queue is still full ("block" only; a callback, which would
                wait for itself, does not wait).
            NotReadyError: it is closed.
        """
        with self._changed:
            if self._overflow == "block" and self._worker is not threading.current_thread():
                self._changed.wait_for(lambda: self._closed or len(self._inputs) < self._size, timeout)
            if self._closed:
                raise NotReadyError("the processor is closed; make another one")
            if len(self._inputs) >= self._size:
                if self._overflow == "block":
                    raise QueueFullError(
                        f"{self._size} inputs wait and {len(self._results)} results were not taken; take them from "
                        "real_time_results(), give a callback, or add fewer"
                    )
                self._inputs.popleft()
                self._dropped += 1
            sequence = self._received
            self._received += 1
            self._inputs.append(_Waiting(sequence, given, callback))
            self._wake()
        return sequence

    def results(self, *, wait: bool = False, timeout: float | None = None) -> Iterator[RealTimeResult]:
        """Those without a callback, in order, each to one taker.

        It ends when nothing is under way any more; with `wait`, when the queue is closed and empty. After `timeout` seconds
        without a result it ends in any case. A callback, which would wait for itself, does not wait.
        """
        while True:
            with self._changed:
                if self._worker is not threading.current_thread():
                    self._changed.wait_for(lambda: self._results or self._over(wait), timeout)
                if not self._results:
                    return
                result = self._results.popleft()
                self._delivered += 1
                self._wake()
                self._changed.notify_all()
            yield result

    def close(self) -> None:
        """Take no more, compute what waits, and end. Results that were not taken stay for `results`, the newest `size`."""
        with self._changed:
            self._closed = True
            self._wake()
            self._changed.notify_all()
            worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join()

    def metrics(self) -> dict[str, int]:
        with self._changed:
            return {
                "received": self._received, "delivered": self._delivered, "dropped": self._dropped,
                "failed": self._failed, "inputs": len(self._inputs), "computing": self._computing,
                "results": len(self._results),
            }  # fmt: skip

    def _over(self, wait: bool) -> bool:
        idle = not self._inputs and not self._computing
        return idle and (self._closed or not wait)

    def _may_work(self) -> bool:
        held = self._overflow == "block" and not self._closed and len(self._results) >= self._size
        return bool(self._inputs) and not held

    def _wake(self) -> None:
        """With the lock held."""
        if self._worker is None and self._may_work():
            self._worker = threading.Thread(target=self._work, name="multimodal-real-time")
            self._worker.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._may_work():
                    self._worker = None
                    self._changed.notify_all()
                    return
                room = self._batch
                if self._overflow == "block" and not self._closed:
                    room = min(room, self._size - len(self._results))
                taken = [self._inputs.popleft() for _ in range(min(room, len(self._inputs)))]
                self._computing = len(taken)
                self._changed.notify_all()
            began = time.perf_counter()
            found = self._tried([one.given for one in taken])
            _log.debug("real_time_batch", extra={"inputs": len(taken), "seconds": time.perf_counter() - began})
            for one, result in zip(taken, found, strict=True):
                output, failure = (None, result) if isinstance(result, Exception) else (result, None)
                self._hand_on(one, RealTimeResult(one.sequence, output, failure))

    def _tried(self, given: list[MultimodalInput]) -> Sequence[MultimodalOutput | Exception]:
        """Where many fail together, each is tried alone: only the one that is to blame is lost."""
        try:
            return self._attempt(given)
        except Exception as error:
            if len(given) == 1:
                return [error]
            return [result for one in given for result in self._tried([one])]

    def _hand_on(self, one: _Waiting, result: RealTimeResult) -> None:
        broken = result.error is not None
        if one.callback is not None:
            try:
                one.callback(result)
            except BaseException:  # SystemExit too: the inputs behind it would wait for ever
                broken = True
                _log.exception("real_time_callback_failed", extra={"sequence": one.sequence})
        with self._changed:
            self._computing -= 1
            self._failed += broken
            if one.callback is not None:
                self._delivered += 1
            else:
                self._results.append(result)
                if len(self._results) > self._size:
                    self._results.popleft()
                    self._dropped += 1
            self._changed.notify_all()
