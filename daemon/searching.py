"""A search with everything it needs: the store, the mind for the question, the index, and what a cosine is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from daemon.config import Config
from pipelines.search import Search

if TYPE_CHECKING:
    from pipelines.protocols import Mind


@contextmanager
def open_search(config: Config, *, threshold: float = 0.5, mind: Mind | None = None) -> Iterator[Search]:
    """Over the store of `config`; `mind` None opens one. Raises StoreError, and ModelMissingError which says what to do."""
    from daemon.mind import open_mind
    from multimodal.retrieval.calibration import EmbeddedCalibration
    from multimodal.retrieval.index import ExactIndex

    with ExitStack() as stack:
        known = mind or stack.enter_context(open_mind(config))
        yield stack.enter_context(
            Search(config.store.path, known, ExactIndex, EmbeddedCalibration(), threshold=threshold)
        )
