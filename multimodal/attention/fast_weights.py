"""A memory of associations that is written while it is used: fast weights under the delta rule.

Shapes: B streams, H heads, T tokens, d width of a key, dv of a value. A state is float32 (B, H, dv, d), zeros at first.

Per token in turn, with the key at unit length,

    W <- decay W + rate (v - W k) k^T        (Schlag et al. 2021, arXiv:2102.11174; decay as Ba et al. 2016, arXiv:1610.06258)

so what the memory already says about k is taken back before v is put in its place: at rate 1 an association is rewritten
by one further write, where adding v k^T alone (Hebb) would keep the sum of both.

Bounded: with a unit key and 0 <= rate <= 1, W (decay - rate k k^T) is no longer than decay |W| (decay >= 1/2), and v is
held to the length sqrt(dv) here, so |W| (Frobenius) never exceeds max(|W at first|, `bound`), whatever is written.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 64
"""Tokens that are solved together."""


def bound(rate: float, decay: float, width: int) -> float:
    """The length that a state of values of `width` can never exceed: rate sqrt(dv) / (1 - decay)."""
    return rate * math.sqrt(width) / (1 - decay)


def read(state: Tensor, query: Tensor) -> Tensor:
    """What the memory says about `query` (B, H, T, d), taken at unit length: W q, (B, H, T, dv), in the query's dtype."""
    with torch.autocast(query.device.type, enabled=False):
        address = functional.normalize(query.to(state.dtype), dim=-1)
        return (address @ state.transpose(-1, -2)).to(query.dtype)


def write(
    state: Tensor, key: Tensor, value: Tensor, *, rate: float, decay: float, ignore: Tensor | None = None
) -> Tensor:
    """The state after all tokens were written in their order; a new tensor, with gradients to all that went in.

    Args:
        key: (B, H, T, d); `value` (B, H, T, dv).
        rate: in [0, 1]. `decay` in [1/2, 1), of what is there, per written token.
        ignore: bool (B, T), True = a token that is neither written nor lets anything fade. A token with NaN or infinity in
            its key or value counts as ignored: a stream's memory outlives one bad frame.

    The sum over tokens is solved for, not walked through. With u_t = rate (v_t - W_(t-1) k_t) and n_t the tokens written up
    to t, W_t = decay^(n_t) W_0 + sum_(s<=t) decay^(n_t - n_s) u_s k_s^T; put into u_t that is a unit lower triangular system
    (Yang et al. 2024, arXiv:2406.06484, with decay), `CHUNK` tokens at a time.
    """
    with torch.autocast(key.device.type, enabled=False):
        key, value = key.to(state.dtype), value.to(state.dtype)
        sound = (key.isfinite().all(-1) & value.isfinite().all(-1)).all(1)  # (B, H, T, d) -> (B, T)
        written = sound if ignore is None else sound & ~ignore
        there = written[:, None, :, None]  # (B, T) -> (B, 1, T, 1)
        key = functional.normalize(key.masked_fill(~there, 0), dim=-1)
        value = _held(value.masked_fill(~there, 0))
        for at in range(0, key.shape[2], CHUNK):
            part = slice(at, at + CHUNK)
            state = _chunk(state, key[:, :, part], value[:, :, part], written[:, part], rate=rate, decay=decay)
        return state


def _chunk(state: Tensor, key: Tensor, value: Tensor, written: Tensor, *, rate: float, decay: float) -> Tensor:
    after = written.cumsum(-1).to(state.dtype)[:, None]  # n_t: (B, T) -> (B, 1, T)
    before = after - written.to(state.dtype)[:, None]  # n_(t-1)
    elapsed = (before[..., :, None] - after[..., None, :]).clamp(min=0)  # (B, 1, T, T): from the write of s to the read of t
    system = rate * (key @ key.transpose(-1, -2)) * decay**elapsed  # (B, H, T, T); the solver reads below the diagonal
    expected = key @ state.transpose(-1, -2) * (decay**before)[..., None]  # (B, H, T, dv)
    update = torch.linalg.solve_triangular(
        system.tril(-1), rate * (value - expected), upper=False, unitriangular=True
    )  # (B, H, T, dv); zero where nothing is written, for there key and value are zero
    left = after[..., -1:] - after  # (B, 1, T): written after t
    faded = state * (decay ** after[..., -1:])[..., None]
    remembered: Tensor = faded + (update * (decay**left)[..., None]).transpose(-1, -2) @ key
    return remembered


def _held(value: Tensor) -> Tensor:
    """Values longer than sqrt(dv), a mean square above 1, are shortened to that."""
    limit = math.sqrt(value.shape[-1])
    length = torch.linalg.vector_norm(value, dim=-1, keepdim=True)
    held: Tensor = value * (limit / length.clamp(min=limit))
    return held
