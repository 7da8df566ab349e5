"""A search with everything it needs: the store, a mind for the question, the index, and what a cosine is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from daemon.config import Config
from pipelines.protocols import Mind
from pipelines.search import Search


@contextmanager
def open_search(config: Config, *, threshold: float = 0.5, mind: Mind | None = None) -> Iterator[Search]:
    """Over the store of `config`, which may be written meanwhile; a `mind` that is given stays open.

    Confidences were fitted for the embedded encoders; with checkpoints of others, whose names are placed in their own space,
    they are a guide. Raises StoreError where there is no store, and ModelMissingError, which says how to get the models.
    """
    from daemon.mind import ProcessorMind, open_mind
    from multimodal.retrieval.calibration import EmbeddedCalibration, SearchCalibration
    from multimodal.retrieval.index import ExactIndex

    with ExitStack() as stack:
        if mind is None:
            mind = stack.enter_context(open_mind(config))
        calibration = (
            SearchCalibration(mind.vocabularies) if isinstance(mind, ProcessorMind) else EmbeddedCalibration()
        )
        search = Search(config.store.path, mind, ExactIndex, calibration, identity=_models, threshold=threshold)
        yield stack.enter_context(search)


def _models(fingerprint: str) -> str:
    """The names of the encoders: on another processor, at another precision or under another fusion they make vectors of
    streams that can be compared. The last name is the fusion's."""
    return fingerprint.partition("/")[0].rpartition("+")[0]
