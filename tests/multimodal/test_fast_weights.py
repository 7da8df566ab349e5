"""The memory that is written while it is used: the delta rule to the letter, bounded, and deaf to padding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from multimodal.attention.fast_weights import CHUNK, bound, read, write

RATE, DECAY = 0.7, 0.95


def walked(state: Tensor, key: Tensor, value: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Token by token, as the rule is written."""
    state = state.clone()
    for b in range(key.shape[0]):
        for h in range(key.shape[1]):
            for t in range(key.shape[2]):
                if ignore is not None and ignore[b, t]:
                    continue
                k, v, w = normalize(key[b, h, t], dim=0), value[b, h, t], state[b, h]
                v = v * min(1.0, math.sqrt(len(v)) / float(v.norm()))
                state[b, h] = DECAY * w + RATE * torch.outer(v - w @ k, k)
    return state


def made(tokens: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    return tuple(torch.randn(shape, dtype=dtype) for shape in ((2, 2, 3, 4), (2, 2, tokens, 4), (2, 2, tokens, 3)))  # type: ignore[return-value]


@pytest.mark.parametrize("tokens", [1, 7, CHUNK, 2 * CHUNK + 3])
def test_solved_at_once_is_walked_through(tokens: int) -> None:
    state, key, value = made(tokens)
    ignore = torch.rand(2, tokens) < 0.3
    torch.testing.assert_close(write(state, key, value, rate=RATE, decay=DECAY), walked(state, key, value))
    torch.testing.assert_close(
        write(state, key, value, rate=RATE, decay=DECAY, ignore=ignore), walked(state, key, value, ignore)
    )


def test_a_window_at_once_or_in_two_is_the_same() -> None:
    state, key, value = made(20)
    half = write(state, key[:, :, :9], value[:, :, :9], rate=RATE, decay=DECAY)
    whole = write(state, key, value, rate=RATE, decay=DECAY)
    torch.testing.assert_close(write(half, key[:, :, 9:], value[:, :, 9:], rate=RATE, decay=DECAY), whole)


def test_gradients_reach_all_that_went_in() -> None:
    state, key, value = made(5)
    inputs = [x.requires_grad_() for x in (state, key, value)]
    assert torch.autograd.gradcheck(lambda s, k, v: write(s, k, v, rate=RATE, decay=DECAY), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ten_thousand_writes_stay_within_the_bound(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    limit, longest = bound(1.0, 0.9, 8), 0.0
    state = torch.zeros(1, 1, 8, 8)
    for i in range(100):
        if i % 2:  # random, and much too long
            key, value = torch.randn(1, 1, 100, 8), 1e6 * torch.randn(1, 1, 100, 8)
        else:  # against the state: always a key about which it says least, and a value as long as may be
            key = torch.linalg.svd(state[0, 0]).Vh[-1].expand(1, 1, 100, 8)
            value = torch.full((1, 1, 100, 8), 1e6)
        state = write(state, key.to(dtype), value.to(dtype), rate=1.0, decay=0.9)
        longest = max(longest, float(state.norm()))
    assert 1 < longest <= limit


def test_an_association_is_rewritten_by_one_write_and_others_stay() -> None:
    key = torch.eye(4)[None, None]  # (1, 1, 4, 4), orthogonal
    old, new = torch.randn(1, 1, 4, 4).sign(), torch.randn(1, 1, 4, 4).sign()
    state = write(torch.zeros(1, 1, 4, 4), key, old, rate=1.0, decay=0.999)
    state = write(state, key[:, :, :2], new[:, :, :2], rate=1.0, decay=0.999)
    said = read(state, 5 * key)  # at any length
    torch.testing.assert_close(said[:, :, :2], new[:, :, :2], atol=0.01, rtol=0)
    torch.testing.assert_close(said[:, :, 2:], old[:, :, 2:], atol=0.01, rtol=0)


def test_a_token_that_is_broken_is_as_if_it_were_not_there() -> None:
    state, key, value = made(6)
    expected = write(state, key[:, :, [0, 1, 3, 5]], value[:, :, [0, 1, 3, 5]], rate=RATE, decay=DECAY)
    key[0, 1, 2, 0], key[1, 0, 2, 0] = torch.nan, torch.inf
    value[:, :, 4] = torch.inf
    torch.testing.assert_close(write(state, key, value, rate=RATE, decay=DECAY), expected)
