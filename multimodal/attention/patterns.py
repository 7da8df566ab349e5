"""Which keys a query may see, by name. i is the query's place among the keys, j a key.

A pattern is a mask, a way to make weights of logits, or both. Where there are more or fewer queries than keys, as
between modalities, query q of Q stands at key i = floor((q + 1/2) * K / Q): both sequences cover the same span.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from multimodal.attention.tiled import Normalizer, Softmax
from multimodal.errors import ConfigError

Visible = Callable[[Tensor, Tensor, int], Tensor]
"""(i (Tq, 1), j (Tk,), the pattern's option) -> bool (Tq, Tk), True = may be seen."""


@dataclass(frozen=True, slots=True)
class _Kind:
    option: str = ""
    default: int = 1
    visible: Visible | None = None
    normalize: Callable[[int], str | Normalizer] = lambda _: "softmax"


KINDS: Mapping[str, _Kind] = MappingProxyType({
    "dense": _Kind(),
    "local": _Kind("window", 16, lambda i, j, window: (i - j).abs() <= window),
    "strided": _Kind("stride", 8, lambda i, j, stride: (i - j) % stride == 0),
    "block": _Kind("block", 64, lambda i, j, block: i // block == j // block),
    "global": _Kind("tokens", 4, lambda i, j, tokens: (i < tokens) | (j < tokens)),
    "top-k": _Kind("k", 16, normalize=lambda k: Softmax(top=k)),
    "entmax": _Kind(normalize=lambda _: "entmax"),
})
"""By name, with the one option each may have:

- dense: every key.
- local, `window`: keys at most so far away (Longformer, Beltagy et al. 2020, arXiv:2004.05150).
- strided, `stride`: keys a multiple of it away (Sparse Transformer, Child et al. 2019, arXiv:1904.10509).
- block, `block`: keys of the query's own block of so many.
- global, `tokens`: the first so many keys; the first so many queries see all (Longformer).
- top-k, `k`: the k keys of the highest logits (Gupta et al. 2021, arXiv:2106.06899); of equal ones the first.
- entmax: 1.5-entmax, which chooses how many by itself (Peters et al. 2019, arXiv:1905.05702).
"""

BLOCK = 64
"""Queries of a local pattern that are computed together: enough for dense products, few beside a long sequence."""

OTHER_NAMES = {"entmax15": "entmax", "1.5-entmax": "entmax", "topk": "top-k", "global-tokens": "global"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One of `KINDS` with its option set; made by `named`."""

    name: str
    value: int = 1

    @property
    def normalize(self) -> str | Normalizer:
        """For `attend`."""
        return KINDS[self.name].normalize(self.value)

    @property
    def band(self) -> tuple[int, int] | None:
        """(block, halo) for `banded_attend`, where the pattern is a band round the diagonal."""
        bands = {"local": (max(self.value, BLOCK), self.value), "block": (self.value, 0)}
        return bands.get(self.name)

    def ignore(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """Bool (Tq, Tk), True = ignore, for `attend`; None where every key may be seen."""
        visible = KINDS[self.name].visible
        if visible is None:
            return None
        j = torch.arange(keys, device=device)
        i = ((2 * torch.arange(queries, device=device) + 1) * keys) // (2 * max(1, queries))
        return ~visible(i[:, None], j, self.value)


def named(name: str | Pattern, **options: int) -> Pattern:
    """A pattern by name; a `Pattern` as it is. `ConfigError` for an unknown name or option, or a value below 1."""
    if isinstance(name, Pattern):
        chosen = name.name
    else:
        chosen = str(name).lower().replace("_", "-")
        chosen = OTHER_NAMES.get(chosen, chosen)
    if chosen not in KINDS:
        raise ConfigError(f"pattern is {name!r}: it must be one of {', '.join(KINDS)}")
    kind = KINDS[chosen]
    if wrong := set(options) - {kind.option}:
        has = f"the one option {kind.option!r}" if kind.option else "no options"
        raise ConfigError(f"the pattern {chosen!r} has {has}, not {', '.join(map(repr, sorted(wrong)))}")
    if isinstance(name, Pattern) and not options:
        return name
    value = options.get(kind.option, kind.default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{kind.option} is {value!r}: it must be an integer of at least 1")
    return Pattern(chosen, value)
