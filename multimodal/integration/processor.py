"""The mind as a library: encoders and fusion behind one object."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import torch

from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.measures import CoherenceBaseline
from multimodal.errors import ConfigError, InputError, MultimodalError, NotReadyError
from multimodal.fusion.window import FusionResult, Window
from multimodal.integration import output
from multimodal.integration.config import IntegrationConfig
from multimodal.integration.drawing import Seen, draw
from multimodal.integration.health import health_of
from multimodal.integration.meter import Meter, resident
from multimodal.integration.models import device_of
from multimodal.integration.modes import Entries, Mode, Parts, checked_mode, parts_of, problem_of
from multimodal.integration.opened import Opened, open_all
from multimodal.integration.realtime import Callback, RealTimeQueue, RealTimeResult
from multimodal.integration.remembered import kept_picture
from multimodal.types import ModalityEmbedding, ModalityType, MultimodalInput, MultimodalOutput

if TYPE_CHECKING:
    from multimodal.retrieval.retriever import RetrievalResult
    from multimodal.visualization.visualizer import Drawn

_log = logging.getLogger("multimodal.integration")


class UnifiedMultimodalProcessor:
    """Encodes and fuses. Thread-safe once initialized; no result depends on what was computed before.

    `encode` and `fuse` are the bare steps, in the dimensions of the space; `process` is both, cached, remembered for
    `retrieve_cross_modal` and shown in the dimensions of the configuration.

    Args:
        config: the embedded models and the training-free fusion where None.
        baseline: what unrelated pairs reach, for `ModalityAlignment.z_scores`; without one they are empty.
        encoders: instead of the configured ones, by modality: what `multimodal.embeddings.opening.Encoder` says.
    """

    def __init__(
        self, config: IntegrationConfig | None = None, *, baseline: CoherenceBaseline | None = None,
        encoders: Mapping[ModalityType, Any] | None = None,
    ) -> None:  # fmt: skip
        self.config = c = config or IntegrationConfig.embedded()
        self._baseline, self._given = baseline, encoders
        self._lock = threading.Lock()
        self._closed = False
        self._opened: Opened | None = None
        self._meter = Meter()
        self._queue = RealTimeQueue(
            lambda given: self._attempt(given, "batch"), size=c.queue_size, batch=c.batch_size, overflow=c.queue_overflow
        )
        self._seen: Seen | None = None

    def initialize(self) -> None:
        """Open the encoders and the fusion; a second call does nothing.

        Raises:
            ModelMissingError: a model has not been pulled; the message says how. Or there are no such weights.
            ConfigError: the weights are of another fusion, or heads do not divide the dimensions.
        """
        with self._lock:
            if self._closed:
                raise NotReadyError("the processor is closed; make another one")
            if self._opened is None:
                self._opened = open_all(self.config, self._meter, self._given)

    @property
    def fingerprint(self) -> str:
        """Identity of the numbers: models, precision, runtime, version, instruction set, then a hash over all of it, the
        fusion's weights and the versions of the libraries in front of the models.

        Equal fingerprints promise equal bits on CPU.
        """
        return self._ready().fingerprint

    def vocabulary(self, modality: str) -> Vocabulary:
        """What the encoder of "image" or "audio" can name."""
        encoder = self._ready().encoders[_modality(modality)]
        if not hasattr(encoder, "vocabulary"):
            raise InputError(f"{modality} is not named by classes; 'image' and 'audio' are")
        vocabulary: Vocabulary = encoder.vocabulary
        return vocabulary

    def encode(self, modality: str, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """Any number of one modality, in order: strings, pictures, or (samples, rate).

        An entry never depends on its neighbours; one that cannot be read has `error` set and nothing else is lost.
        """
        if isinstance(items, (str, bytes)):
            raise InputError(f"items come as a list; for one text: [{items[:20]!r}]")
        entries: list[ModalityEmbedding] = self._ready().encoders[_modality(modality)].encode_batch(items)
        return entries

    def fuse(self, windows: Sequence[Window]) -> list[FusionResult]:
        """Each window for itself: by stream name, the entries of that stream in time order."""
        fusion = self._ready().fusion
        return [fusion(window) for window in windows]

    @overload
    def process(self, multimodal_input: MultimodalInput, processing_mode: str = ...) -> MultimodalOutput: ...
    @overload
    def process(
        self, multimodal_input: Sequence[MultimodalInput], processing_mode: str = ...
    ) -> list[MultimodalOutput]: ...
    def process(
        self, multimodal_input: MultimodalInput | Sequence[MultimodalInput], processing_mode: str = "sequential"
    ) -> MultimodalOutput | list[MultimodalOutput]:
        """One moment, its streams named by their modality; or a list of moments, giving a list.

        The modes ("sequential", "parallel", "batch", see `Modes`) differ in speed only: their results are equal to the bit.

        Raises:
            InputError: nothing given, or a part that cannot be read; of a list, every such input is named by its place.
            ConfigError: there is no such mode.
        """
        mode = checked_mode(processing_mode)
        if isinstance(multimodal_input, (list, tuple)):
            found = self._attempt(multimodal_input, mode)
            wrong = {place: one for place, one in enumerate(found) if isinstance(one, Exception)}
            if wrong and all(isinstance(error, InputError) for error in wrong.values()):
                raise InputError("; ".join(f"input {place}: {error}" for place, error in wrong.items()))
            for error in wrong.values():
                raise error
            return [one for one in found if isinstance(one, MultimodalOutput)]
        (one,) = self._attempt([multimodal_input], mode)  # type: ignore[list-item] # what is no input is refused there
        if isinstance(one, Exception):
            raise one
        return one

    def add_real_time_input(
        self, multimodal_input: MultimodalInput, *, callback: Callback | None = None, timeout: float | None = None
    ) -> int:
        """Queue one moment and return its number at once; results come in that order.

        Args:
            callback: called with the `RealTimeResult`, in the worker's thread; without one `real_time_results` has it.
            timeout: seconds to wait for room in a full queue; for ever where None.

        Raises:
            ConfigError: `enable_real_time_processing` is off.
            InputError: no input; what cannot be read of one is its result's `error`.
            QueueFullError: no room in time.
        """
        if not self.config.enable_real_time_processing:
            raise ConfigError("enable_real_time_processing is False; real-time inputs are taken where it is True")
        self._ready()
        parts_of(multimodal_input)
        return self._queue.add(multimodal_input, callback, timeout)

    def real_time_results(self, *, wait: bool = False, timeout: float | None = None) -> Iterator[RealTimeResult]:
        """Results in order, until nothing is under way; see `RealTimeQueue.results`."""
        return self._queue.results(wait=wait, timeout=timeout)

    def retrieve_cross_modal(
        self, query: ModalityEmbedding | str, target_modality: ModalityType | str, top_k: int = 5
    ) -> list[RetrievalResult]:
        """The `top_k` parts of one modality, of the last `index_size` moments processed, nearest to a query, best first.

        Args:
            query: words, or what an encoder or `process` made of anything; its dimensions are those of the space, or those
                it is shown in.

        Returns:
            `RetrievalResult`s: contents are copies, pictures no larger than `max_image_size`; metadata has ``moment``,
            counted from 0, ``quality`` and ``labels``.

        Raises:
            InputError: a query of other dimensions or without direction, no such modality, or nothing is remembered.
        """
        target = _modality(target_modality)
        opened = self._ready()
        if isinstance(query, str):
            [query] = opened.cache(ModalityType.TEXT, [query])
        if not isinstance(query, ModalityEmbedding):
            raise InputError(f"a query is a str or a ModalityEmbedding, not {type(query).__name__}")
        if query.error is not None:
            raise InputError(f"the query cannot be read: {query.error}")
        vector = opened.shown.original(query)
        if vector is None:
            allowed = sorted({opened.shown.width, *opened.shown.dims.values()})
            raise InputError(f"the query has {query.embedding.shape[-1]} dimensions, expected one of {allowed}")
        asked = ModalityEmbedding(query.modality, vector, query.features)
        return opened.remembered.find(asked, target, top_k)

    def visualize_attention(
        self, moment: MultimodalOutput | None = None, image: Any = None, *, output_dir: str | Path = "attention",
        title: str = "Attention",
    ) -> list[Drawn]:  # fmt: skip
        """Draw who looked where; returns each figure with the file it was written to.

        Args:
            moment: what `process` gave; where None the last moment with attention, which
                `use_attention_visualization` keeps together with its picture.
            image: of `moment`, to lay the maps over.

        Raises:
            ConfigError: no moment is given and `use_attention_visualization` is off.
            InputError: there is no attention to draw.
        """
        if moment is not None:
            contributions = moment.unified_representation.modality_contributions
            picture = None if image is None else kept_picture(image, self.config.max_image_size)
            return draw(Seen(moment.attention_analysis, contributions, picture), output_dir, title)
        if not self.config.use_attention_visualization:
            raise ConfigError("use_attention_visualization is False: no attention is kept; give the output of process()")
        with self._lock:
            last = self._seen
        if last is None:
            raise InputError("no moment with attention was processed yet")
        return draw(last, output_dir, title)

    def save_model(self, path: str | Path) -> None:
        """Configuration, fusion weights and maps into a folder; `load_model` gives the same bits from it.

        Raises:
            InputError: the path is a file.
        """
        self._ready().save(path)

    def load_model(self, path: str | Path) -> None:
        """Take over what `save_model` wrote. Calls under way end with what they began with.

        Raises:
            InputError: there is none, or it is damaged.
            ConfigError: it is of another make-up: dimensions, limits, fusion, models; every difference is named.
        """
        loaded = self._ready().loaded(path)
        with self._lock:
            self._ready()
            self._opened = loaded

    def metrics(self) -> dict[str, Any]:
        """Counts and seconds since the beginning: inputs, encodings, errors, cache, queue, what is remembered, and
        ``resident_bytes`` of the process (None where the system does not tell)."""
        counts, seconds = self._meter.read()
        opened = self._opened
        return {
            "counts": counts,
            "seconds": seconds,
            "cache": {} if opened is None else opened.cache.metrics(),
            "real_time": self._queue.metrics(),
            "remembered": {} if opened is None else opened.remembered.metrics(),
            "resident_bytes": resident(),
        }

    def health(self) -> dict[str, Any]:
        """``status`` ("ready", "not initialized" or "closed"), what it computes with, and the last error.

        ``precision`` says what `mixed_precision` comes to on this device.
        """
        return health_of(self.config, self._opened, closed=self._closed, last_error=self._meter.last_error)

    def clear_cache(self) -> None:
        """Forget the encodings kept for inputs that come again; on CUDA, give unused memory back."""
        self._ready().cache.clear()
        self._free()

    def close(self) -> None:
        """Finish what is under way, then let go of the models and of all that was kept; later calls raise NotReadyError."""
        self._queue.close()
        with self._lock:
            opened, self._opened, self._closed = self._opened, None, True
            self._seen = None
        if opened is not None:
            opened.modes.close()
            self._free()

    def __enter__(self) -> UnifiedMultimodalProcessor:
        self.initialize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, given: Sequence[MultimodalInput], mode: Mode) -> list[MultimodalOutput | Exception]:
        """An output, or why there is none, for each input; other errors than of an input end the whole."""
        opened = self._ready()
        began = time.perf_counter()
        moments: list[Parts | Exception] = []
        for one in given:
            try:
                moments.append(parts_of(one))
            except InputError as error:
                moments.append(error)
        readable = [parts for parts in moments if not isinstance(parts, Exception)]
        rows = iter(opened.modes(readable, mode))
        seconds = (time.perf_counter() - began) / max(len(readable), 1)
        found = [
            parts if isinstance(parts, Exception) else self._finished(opened, parts, next(rows), mode, seconds)
            for parts in moments
        ]
        for result in found:
            if isinstance(result, Exception):
                self._meter.failed(result)
        self._meter.count(f"inputs.{mode}", len(found))
        return found

    def _finished(
        self, opened: Opened, parts: Parts, entries: Entries, mode: Mode, seconds: float
    ) -> MultimodalOutput | Exception:
        """Fused, remembered, shown."""
        if problem := problem_of(entries):
            return InputError(problem)
        began = time.perf_counter()
        fused = opened.fusion({name: [entry] for name, entry in entries.items()})
        took = time.perf_counter() - began
        self._meter.took("fuse", took)
        if self.config.debug:
            try:
                output.check_finite(entries, fused)
            except MultimodalError as error:
                return error
            _log.debug("moment", extra={"mode": mode, "encode_seconds": seconds, "fuse_seconds": took})
        opened.remembered.add(parts, entries)
        metadata = {
            "processing_mode": mode, "fusion_method": self.config.fusion_method, "fingerprint": opened.fingerprint,
            "encode_seconds": seconds, "fuse_seconds": took, "dimensions": opened.shown.described(),
        }  # fmt: skip
        made = output.made(entries, fused, opened.shown, metadata, self._baseline)
        if self.config.use_attention_visualization and made.attention_analysis.weights:
            picture = kept_picture(parts[ModalityType.IMAGE], self.config.max_image_size)
            with self._lock:
                self._seen = Seen(made.attention_analysis, fused.contributions, picture)
        return made

    def _free(self) -> None:
        if device_of(self.config) == "cuda":
            torch.cuda.empty_cache()

    def _ready(self) -> Opened:
        opened = self._opened
        if opened is None:
            raise NotReadyError("the processor is closed; make another one" if self._closed else "call initialize() first")
        return opened


def _modality(name: str) -> ModalityType:
    try:
        return ModalityType(name)
    except ValueError:
        raise InputError(f"modality is {name!r}, expected one of {', '.join(ModalityType)}") from None
