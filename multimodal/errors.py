"""Everything that can go wrong in the mind, as one tree.

    MultimodalError
    ├── InputError           one input cannot be read: what, and what would be right
    ├── ConfigError          a value of the configuration is wrong: which, and the allowed ones
    ├── ModelMissingError    a model is not on this disk yet: how to get it
    ├── ModelFetchError      a model could not be fetched or converted: why
    ├── ChecksumError        what was fetched is not what the table of models names; it is not used
    ├── QueueFullError       inputs came faster than they were processed, or nobody took the results
    └── NotReadyError        used before `initialize()` or after `close()`
"""

from __future__ import annotations


class MultimodalError(Exception):
    """Base of all errors of `multimodal`."""


class InputError(MultimodalError, ValueError):
    """One input cannot be read."""


class ConfigError(MultimodalError, ValueError):
    """A value of the configuration is wrong."""


class ModelMissingError(MultimodalError):
    """A model is not on this disk yet."""


class ModelFetchError(MultimodalError):
    """A model could not be fetched or converted."""


class ChecksumError(MultimodalError):
    """A fetched file is not the one whose hash the table of models names."""


class QueueFullError(MultimodalError):
    """A bounded queue had no room in the time that was allowed."""


class NotReadyError(MultimodalError, RuntimeError):
    """A processor was used before `initialize()` or after `close()`."""
