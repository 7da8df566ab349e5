"""Which sensorium this is."""

from __future__ import annotations


def version() -> str:
    """The installed version; a tree that was never installed says so."""
    from importlib import metadata

    try:
        return metadata.version("sensorium")
    except metadata.PackageNotFoundError:
        return "unknown (not installed: pip install -e .)"
