"""The whole path: recordings made here, replayed through the parts that the program puts together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from daemon.mind import ProcessorMind

sys.path.insert(0, str(Path(__file__).parent))  # `scenes` and `live`, which these tests share


@pytest.fixture(scope="session")
def mind(pulled: Path) -> Iterator[ProcessorMind]:
    """The real one."""
    from daemon.config import Config
    from daemon.mind import open_mind

    with open_mind(Config()) as opened:
        yield opened
