"""What a fusion learns from: the moments of recordings, or of a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np

from connectors.recording.replay import Recording
from daemon import build
from daemon.config import Config
from daemon.mind import entry_of
from multimodal.fusion.window import Floats
from multimodal.training import Gathering, Moments, from_vectors
from pipelines.clock import BootClock
from pipelines.errors import StoreError
from pipelines.moment import Moment
from pipelines.protocols import Mind
from pipelines.runner import Runner
from pipelines.stages.encode import EncodedWindow
from pipelines.store.reader import Reader


def of_recordings(
    config: Config,
    recordings: Sequence[Recording],
    mind: Mind,
    *,
    overridden: bool = False,
    on_window: Callable[[int], None] = lambda number: None,
) -> Moments:
    """Replay them, each window once, as it would be understood in a run; nothing is stored.

    Only the last revision of a window counts. `on_window` is told how many there were so far.

    Raises:
        InputError: there is no moment in them.
    """
    gathering = Gathering()
    for number, recording in enumerate(recordings):
        newest: dict[str, EncodedWindow] = {}

        async def keep(
            moments: AsyncIterator[tuple[EncodedWindow, Moment]], newest: dict[str, EncodedWindow] = newest
        ) -> AsyncGenerator[Moment, None]:
            async for window, moment in moments:
                newest[window.window.id] = window
                on_window(len(gathering) + len(newest))
                yield moment

        group = build.replayed(config, recording, clock=BootClock(), overridden=overridden)
        runner = Runner(
            group=group, mind=mind, keep=keep, max_in_flight=max(config.mind.batch_size * 2, 16),
            max_batch=config.mind.batch_size,
        )  # fmt: skip
        asyncio.run(runner.run())
        for window in newest.values():
            entries = {stream: [entry_of(encoded) for encoded in row] for stream, row in window.encoded.items()}
            gathering.add(entries, start=window.window.start, end=window.window.end, recording=number)
    return gathering.moments()


def of_store(directory: Path, model: Callable[[str], bool]) -> Moments:
    """The vectors that a store has; pictures without their cells, so the training-free fusion is the plain mean by quality.

    Args:
        model: whether moments of a mind with this fingerprint can be compared with the present one's.

    Raises:
        StoreError: there is no store, or no such moment in it.
    """
    with Reader(directory, limit=600.0) as reader:
        vectors: dict[int, bytes] = {}
        for rows in reader.vectors("shared", 0):
            vectors.update(zip(rows.keys, rows.vectors, strict=True))
        spans: dict[int, tuple[int, int, int]] = {}
        views: list[tuple[int, str, int, float]] = []
        groups: dict[str, int] = {}
        for columns, moments in reader.views_after(0):
            for key, group, start, end, made_by in zip(
                moments.keys, moments.groups, moments.starts, moments.ends, moments.models, strict=True
            ):
                if model(made_by):
                    spans[key] = (groups.setdefault(group, len(groups)), start, end)
            views += zip(columns.moments, columns.modalities, columns.keys, columns.qualities, strict=True)
    order = {key: number for number, key in enumerate(sorted(spans, key=lambda key: spans[key]))}
    by_modality: dict[str, list[tuple[int, Floats, float]]] = {}
    for moment, modality, view, quality in views:
        if moment in order and view in vectors and quality > 0:
            vector = np.frombuffer(vectors[view], "<f2").astype(np.float32)
            by_modality.setdefault(modality, []).append((order[moment], vector, quality))
    if not by_modality:
        raise StoreError(f"{directory}: no moment of the present models; replay its recordings into it first")
    return from_vectors(by_modality, [(start, end, group) for group, start, end in sorted(spans.values())])
