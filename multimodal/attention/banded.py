"""Self-attention near the diagonal, local or by blocks, without a (T, T) mask: time and memory grow as T, not T^2.

The tokens are cut into n blocks of queries. Each block is attended, as a sample of its own, to the keys from `halo` before
it to `halo` behind it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from multimodal.attention.core import attend


def banded_attend(
    query: Tensor, key: Tensor, value: Tensor, *, block: int, halo: int, padding: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor | None]:
    """Attended values (B, H, T, dv), and bool (B, T), which queries may see no key; None where all see one.

    Args:
        query: (B, H, T, d), as are `key` and `value`.
        block: B of the queries that share their keys.
        halo: how many tokens away a key may be; 0 = only those of the query's own block may be seen.
        padding: bool (B, 1, 1, T), True = ignore.
    """
    batch, heads, length, _ = query.shape
    count = -(-length // block)
    tail = count * block - length
    span = block + 2 * halo
    asked = pad(query, (0, 0, 0, tail)).transpose(1, 2)  # (B, H, T, d) -> (B, n * block, H, d)
    asked = asked.reshape(batch * count, block, heads, -1).transpose(1, 2)  # -> (B * n, H, block, d)
    near_keys, near_values = (
        pad(x, (0, 0, halo, tail + halo))  # (B, H, T, d) -> (B, H, n * block + 2 * halo, d)
        .unfold(2, span, block)  # -> (B, H, n, d, span)
        .permute(0, 2, 1, 4, 3)  # -> (B, n, H, span, d)
        .flatten(0, 1)  # -> (B * n, H, span, d)
        for x in (key, value)
    )
    ignore = _ignore(padding, length, block, halo, query.device)
    if ignore is not None:
        ignore = ignore.expand(batch, -1, -1, -1).reshape(batch * count, 1, -1, span)  # (B | 1, n, block | 1, span)
    attended, _ = attend(asked, near_keys, near_values, ignore=ignore, dropout=dropout, cleaned=True)
    # (B * n, H, block, dv) -> (B * n, block, H, dv) -> (B, n * block, H, dv) -> (B, H, T, dv)
    attended = attended.transpose(1, 2).reshape(batch, count * block, heads, -1)[:, :length].transpose(1, 2)
    if padding is None or ignore is None:
        return attended, None
    blind = ignore.all(-1).expand(-1, 1, block)  # (B * n, 1, block | 1, span) -> (B * n, 1, block)
    return attended, blind.reshape(batch, count * block)[:, :length]


def _ignore(padding: Tensor | None, length: int, block: int, halo: int, device: torch.device) -> Tensor | None:
    """(B | 1, n, block | 1, span) bool; None where every key of a span may be seen."""
    tail = -length % block
    if not halo and not tail and padding is None:
        return None
    outside = torch.zeros(1, length, dtype=torch.bool, device=device) if padding is None else padding[:, 0, 0]
    outside = pad(outside, (halo, tail + halo), value=True)  # (B | 1, T) -> (B | 1, n * block + 2 * halo)
    outside = outside.unfold(1, block + 2 * halo, block)[:, :, None]  # -> (B | 1, n, 1, span)
    if not halo:
        return outside
    at = torch.arange(block, device=device)[:, None] + halo
    far = (torch.arange(block + 2 * halo, device=device) - at).abs() > halo
    return outside | far
