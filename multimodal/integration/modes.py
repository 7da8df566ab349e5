"""Three ways to encode a list of moments, with equal results to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

from multimodal.errors import ConfigError, InputError, NotReadyError
from multimodal.types import ModalityEmbedding, ModalityType, MultimodalInput

Mode = Literal["sequential", "parallel", "batch"]
MODES: tuple[Mode, ...] = get_args(Mode)
Parts = Mapping[ModalityType, Any]
"""Of one moment, as encoders take them: a string, a picture, (samples, rate)."""

Entries = dict[str, ModalityEmbedding]
Encode = Callable[[ModalityType, Sequence[Any]], list[ModalityEmbedding]]


class Modes:
    """Encodes moments. Thread-safe; its threads begin with the first call that needs them.

    - sequential: one input after the other, one modality after the other, in the calling thread.
    - parallel: each modality of each input for itself, in `workers` threads (in the calling one for 0).
    - batch: as many inputs as `batch_size` at once, each modality in one call of its encoder.
    """

    def __init__(self, encode: Encode, *, workers: int, batch_size: int) -> None:
        self._encode, self._workers, self._batch_size = encode, workers, batch_size
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __call__(self, moments: Sequence[Parts], mode: Mode) -> list[Entries]:
        """By modality, an entry for each part; one that cannot be read has `error` set."""
        if mode == "batch":
            return [
                entries
                for begin in range(0, len(moments), self._batch_size)
                for entries in self._together(moments[begin : begin + self._batch_size])
            ]
        tasks = [(number, modality, item) for number, parts in enumerate(moments) for modality, item in parts.items()]
        threaded = mode == "parallel" and self._workers
        made = self._in_threads(tasks) if threaded else [self._one(task) for task in tasks]
        results: list[Entries] = [{} for _ in moments]
        for (number, modality, _), entry in zip(tasks, made, strict=True):
            results[number][str(modality)] = entry
        return results

    def close(self) -> None:
        """Wait for what is under way."""
        with self._lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            pool.shutdown()

    def _one(self, task: tuple[int, ModalityType, Any]) -> ModalityEmbedding:
        return self._encode(task[1], [task[2]])[0]

    def _together(self, moments: Sequence[Parts]) -> list[Entries]:
        results: list[Entries] = [{} for _ in moments]
        for modality in ModalityType:
            having = [number for number, parts in enumerate(moments) if modality in parts]
            if having:
                entries = self._encode(modality, [moments[number][modality] for number in having])
                for number, entry in zip(having, entries, strict=True):
                    results[number][str(modality)] = entry
        return results

    def _in_threads(self, tasks: Sequence[tuple[int, ModalityType, Any]]) -> list[ModalityEmbedding]:
        with self._lock:  # so that all tasks are handed in before `close`, or none
            if self._closed:
                raise NotReadyError("the processor is closed; make another one")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="multimodal")
            made = self._pool.map(self._one, tasks)
        return list(made)


def checked_mode(mode: str) -> Mode:
    """
    Raises:
        ConfigError: there is no such mode.
    """
    for known in MODES:
        if mode == known:
            return known
    raise ConfigError(f"processing_mode is {mode!r}, expected one of {', '.join(map(repr, MODES))}")


def parts_of(given: Any) -> Parts:
    """
    Raises:
        InputError: no `MultimodalInput`, or an empty one.
    """
    if not isinstance(given, MultimodalInput):
        raise InputError(f"an input is a MultimodalInput(text=..., image=..., audio=...), not {type(given).__name__}")
    parts: dict[ModalityType, Any] = {}
    if given.text is not None:
        parts[ModalityType.TEXT] = given.text
    if given.image is not None:
        parts[ModalityType.IMAGE] = given.image
    if given.audio is not None:
        parts[ModalityType.AUDIO] = (given.audio, given.sample_rate)
    if not parts:
        raise InputError("an input has at least one of text, image and audio")
    return parts


def problem_of(entries: Mapping[str, ModalityEmbedding]) -> str | None:
    """What could not be read of one moment."""
    return "; ".join(f"{name}: {entry.error}" for name, entry in entries.items() if entry.error is not None) or None
