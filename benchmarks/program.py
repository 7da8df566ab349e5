"""The program as a user meets it: how fast a recording replays, how much memory it takes, how soon it answers."""

from __future__ import annotations

from benchmarks.measuring import Figure


def figures() -> list[Figure]:
    return []
