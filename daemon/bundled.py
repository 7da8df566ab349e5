"""The recording that comes with the program, and questions that it answers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

QUESTIONS = (
    ("By picture", "seen:a panda"),
    ("By sound", "heard:a crow cawing"),
    ("By words", "said:burnt toast"),
)
"""Title and question: one by picture, one by sound, one by words."""


def recording() -> AbstractContextManager[Path]:
    """Its path, for as long as the context is open."""
    return resources.as_file(resources.files("daemon") / "data" / "demo.mcap")
