"""Attention over chosen blocks: the gathered computation is the masked one, and the choice is the one described."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from multimodal.attention.block_sparse import KEY_BLOCK, QUERY_BLOCK, block_sparse_attend, choose, chosen_ignore
from multimodal.attention.core import attend
from multimodal.attention.winners import survivors


def made(tokens: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return tuple(torch.randn(2, 2, tokens, width, dtype=dtype) for width in (8, 8, 6))  # type: ignore[return-value]


@pytest.mark.parametrize("tokens", [5, 4 * KEY_BLOCK, 5 * KEY_BLOCK + 7])
@pytest.mark.parametrize("lengths", [None, (5, 3), (200, 131)])
def test_gathered_is_dense_attention_under_the_same_mask_with_gradients(
    tokens: int, lengths: tuple[int, int] | None
) -> None:
    query, key, value = (x.requires_grad_() for x in made(tokens, torch.float64))
    padding = None if lengths is None else torch.arange(tokens) >= torch.tensor(lengths)[:, None]
    chosen = choose(query, key, sparse_ratio=0.5, padding=padding)
    ignore = chosen_ignore(chosen, tokens)
    if padding is not None:
        ignore = ignore | padding[:, None, None]
    expected, _ = attend(query, key, value, ignore=ignore)
    got = block_sparse_attend(query, key, value, sparse_ratio=0.5, padding=padding)
    torch.testing.assert_close(got, expected)
    push = torch.randn_like(got)
    wanted = torch.autograd.grad((expected * push).sum(), (query, key, value))
    for a, b in zip(torch.autograd.grad((got * push).sum(), (query, key, value)), wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_the_blocks_are_those_with_the_best_means() -> None:
    query, key, _ = made(3 * QUERY_BLOCK)
    chosen = choose(query, key, sparse_ratio=0.5)
    assert chosen.blocks.shape == (2, 2, 3, survivors(3 * QUERY_BLOCK // KEY_BLOCK, 0.5))
    for b, h, n in ((0, 0, 0), (1, 1, 2)):
        mean = query[b, h, n * QUERY_BLOCK:(n + 1) * QUERY_BLOCK].mean(0)
        scores = torch.stack([mean @ block.mean(0) for block in key[b, h].split(KEY_BLOCK)])
        assert set(chosen.blocks[b, h, n].tolist()) == set(scores.topk(3).indices.tolist())


def test_keys_that_belong_together_are_found() -> None:
    torch.manual_seed(0)
    topics = 4 * torch.nn.functional.normalize(torch.randn(8, 16), dim=-1)
    key = topics.repeat_interleave(KEY_BLOCK, 0)[None, None] + 0.5 * torch.randn(1, 1, 8 * KEY_BLOCK, 16)
    weights = torch.softmax(4 * key @ key.mT / 4, -1)
    unseen = chosen_ignore(choose(key, key, sparse_ratio=0.75), 8 * KEY_BLOCK)
    assert (weights * ~unseen).sum(-1).mean() > 0.95  # a quarter of the keys


def test_all_blocks_are_plain_attention_in_half_precision_too() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        query, key, value = made(200, dtype)
        got = block_sparse_attend(query, key, value, sparse_ratio=0.0)
        assert got.dtype == dtype
        expected, _ = attend(query, key, value)
        torch.testing.assert_close(got, expected, atol=1e-5 if dtype is torch.float32 else 0.01, rtol=0.01)
