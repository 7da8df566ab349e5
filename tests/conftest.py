"""What all tests share: the real models for those marked `models`, pulled once where they are missing; none skips."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pulled() -> Path:
    """The folder of the converted models."""
    from multimodal.embeddings import fetch, models

    fetch.pull()
    return models.root()


@pytest.fixture(autouse=True)
def _models(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("models") is not None:
        request.getfixturevalue("pulled")
