"""From files, environment and flags to the tree, or to a list of everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.config.layers import gather
from daemon.config.tree import Config, ConfigError, Mistake
from daemon.config.typed import build
from daemon.registry import Registry


def load(
    path: Path | None = None,
    *,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> Config:
    """Read and check the configuration.

    Args:
        path: the file; None reads `$SENSORIUM_CONFIG`, else ./config.yaml where there is one, else no file.
        flags: what the command line said, nested as the file is, ``{"store": {"path": "here"}}``; None is unset.
        sets: `KEY=VALUE` of `--set`, `align.length=4s`; the value is read as YAML. They win over `flags`.
        environ: instead of the process's environment.
        registry: instead of the installed sources and sinks.

    Raises:
        ConfigError: with every mistake of every layer.
    """
    environ = os.environ if environ is None else environ
    mistakes: list[Mistake] = []
    tree = gather(path, flags or {}, sets, environ, mistakes)
    config = build(tree, registry or Registry.installed(), mistakes)
    if mistakes:
        raise ConfigError(tuple(sorted(mistakes, key=_in_order)))
    return config


def _in_order(mistake: Mistake) -> tuple[bool, int]:
    """The file's by line, then the rest as found."""
    line = mistake.where.rpartition(":")[2]
    return (False, int(line)) if line.isdigit() else (True, 0)
