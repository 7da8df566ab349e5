"""Few winners, settling, and a memory: exact counts, an energy that never rises, a state that one stream owns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from multimodal.attention.biological import BiologicalAttention, attend_winners
from multimodal.attention.core import attend
from multimodal.attention.hopfield import energy, refine
from multimodal.attention.self_attention import SelfAttention
from multimodal.attention.winners import survivors, winners
from multimodal.errors import ConfigError, InputError

B, T, D, HEADS = 2, 10, 16, 4


def module(seed: int = 0, **options: float) -> BiologicalAttention:
    torch.manual_seed(seed)
    chosen = {"sparse_ratio": 0.0, "recurrent_steps": 1, "plasticity": 0.0} | options
    made = BiologicalAttention(D, HEADS, **chosen).eval()  # type: ignore[arg-type]
    nn.init.normal_(made.output.bias)  # nothing attended to must be zeros all the same
    return made


def tokens(*shape: int, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(*(shape or (B, T)), D)


# --- winners ---


@pytest.mark.parametrize(("valid", "ratio", "kept"), [
    (10, 0.7, 3), (10, 0.9, 1), (10, 0.95, 1), (10, 1.0, 1), (10, 0.0, 10), (3, 1 / 3, 2), (100, 0.29, 71), (1, 0.5, 1),
    (0, 0.5, 0), (49, 0.7, 15), (1000, 0.999, 1), (20, 0.85, 3),
])
def test_survivors_are_counted_in_integers(valid: int, ratio: float, kept: int) -> None:
    assert survivors(valid, ratio) == kept
    assert survivors(torch.tensor([valid]), ratio).tolist() == [kept]


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=12), st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 1.0]), st.data())
@settings(max_examples=150, deadline=None)
def test_exactly_so_many_win_also_under_ties_and_the_first_of_equals(
    scores: list[int], ratio: float, data: st.DataObject
) -> None:
    hidden = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    kept = winners(torch.tensor(scores, dtype=torch.float32), ratio, ignore=torch.tensor(hidden)).tolist()
    visible = [i for i in range(len(scores)) if not hidden[i]]
    best = sorted(visible, key=lambda i: (-scores[i], i))[: survivors(len(visible), ratio)]
    assert [i for i, k in enumerate(kept) if k] == sorted(best)
    if not any(hidden):
        assert winners(torch.tensor(scores), ratio).tolist() == kept


def test_winners_attend_as_if_the_losers_were_masked_with_gradients() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    attended, weights = attend_winners(query, key, value, sparse_ratio=0.5, need_weights=True)
    logits = query @ key.mT / 2
    border = logits.sort(-1, descending=True).values[..., 2:3]
    expected = logits.masked_fill(logits < border, -torch.inf).softmax(-1)
    assert weights is not None
    torch.testing.assert_close(weights, expected)
    assert ((weights > 0).sum(-1) == 3).all()
    push = torch.randn_like(attended)
    got = torch.autograd.grad((attended * push).sum(), (query, key, value))
    wanted = torch.autograd.grad((expected @ value * push).sum(), (query, key, value))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


# --- plain attention as the limit ---


def test_without_traits_it_is_torchs_attention_forward_and_gradients() -> None:
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    ours = module()
    ours.load_state_dict(SelfAttention.from_torch(theirs).state_dict())
    x, y = tokens().requires_grad_(), tokens().requires_grad_()
    attended, weights, memory = ours(x)
    expected, their_weights = theirs(y, y, y, average_attn_weights=False)
    assert memory is None
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights, their_weights, atol=1e-5, rtol=1e-5)
    attended.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_sparse_module_keeps_three_of_ten_per_query_and_head(steps: int) -> None:
    _, weights, _ = module(sparse_ratio=0.7, recurrent_steps=steps)(tokens())
    assert ((weights > 0).sum(-1) == 3).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, HEADS, T))


# --- settling ---


@given(st.integers(0, 10_000), st.floats(0.1, 20), st.floats(0.05, 1), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_energy_never_rises(seed: int, beta: float, rate: float, stored: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(1, 1, stored, 5, generator=generator, dtype=torch.float64)
    state = 3 * torch.randn(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    for g in (1.0, rate):
        z = state
        for _ in range(5):
            settled = refine(z, lambda q: attend(q, keys, keys, scale=beta)[0], steps=1, rate=g)
            assert (energy(settled, keys, beta=beta) <= energy(z, keys, beta=beta) + 1e-9).all()
            z = settled


def test_steps_are_the_formula_written_out_and_values_are_read_once() -> None:
    ours = BiologicalAttention(D, 1, 0.0, 3, 0.0, step_size=0.6).eval()
    x = tokens()
    query, key, value = ours.projection(x).chunk(3, -1)
    for _ in range(2):
        query = 0.4 * query + 0.6 * torch.softmax(query @ key.mT / math.sqrt(D), -1) @ key
    weights = torch.softmax(query @ key.mT / math.sqrt(D), -1)
    attended, got, _ = ours(x)
    torch.testing.assert_close(got[:, 0], weights, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attended, ours.output(weights @ value), atol=1e-5, rtol=1e-5)


def test_a_noisy_pattern_is_completed() -> None:
    torch.manual_seed(0)
    stored = nn.functional.normalize(torch.randn(1, 1, 32, 64), dim=-1)
    noisy = stored + 0.15 * torch.randn_like(stored)
    recalled = refine(noisy, lambda z: attend(z, stored, stored, scale=16.0)[0], steps=2)
    assert torch.cosine_similarity(noisy, stored, dim=-1).mean() < 0.7
    assert torch.cosine_similarity(recalled, stored, dim=-1).mean() > 0.99


# --- the whole, with every trait ---

ALL = {"sparse_ratio": 0.5, "recurrent_steps": 2, "plasticity": 0.5}


@pytest.mark.parametrize("blocks", [False, True])
def test_padding_changes_neither_results_nor_memory_even_where_it_is_nan(blocks: bool) -> None:
    ours = module(**ALL, blocks=blocks)
    x, memory = tokens(), 0.1 * torch.randn(B, HEADS, 4, 4)
    attended, weights, after = ours(x, memory)
    padded = torch.cat([x, torch.full((B, 3, D), torch.nan)], 1).requires_grad_()
    hidden = torch.zeros(B, T + 3, dtype=torch.bool)
    hidden[:, T:] = True
    got, got_weights, got_after = ours(padded, memory, key_padding_mask=hidden)
    torch.testing.assert_close(got[:, :T], attended, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got_weights[..., :T, :T], weights, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got_after, after, atol=1e-5, rtol=1e-5)
    (got[:, :T].sum() + got_after.sum()).backward()
    assert padded.grad is not None
    assert padded.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())


@pytest.mark.parametrize("blocks", [False, True])
def test_a_sample_of_padding_alone_gives_zeros_and_leaves_its_memory(blocks: bool) -> None:
    ours = module(**ALL, blocks=blocks)
    hidden = torch.tensor([[False] * T, [True] * T])
    before = torch.randn(B, HEADS, 4, 4)
    for need_weights in (True, False):
        attended, weights, after = ours(tokens(), before, key_padding_mask=hidden, need_weights=need_weights)
        assert not attended[1].any()
        assert attended[0].any()
        assert torch.equal(after[1], before[1])
        assert weights is None or not weights[1].any()


def test_the_memory_is_the_streams_own_and_no_part_of_the_module() -> None:
    ours, plain = module(**ALL), module(sparse_ratio=0.5, recurrent_steps=2)
    plain.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "memory_gain"})
    x = tokens()
    first, _, memory = ours(x)
    torch.testing.assert_close(first, plain(x)[0])  # an empty memory says nothing
    assert not torch.allclose(ours(x, memory)[0], first)
    torch.testing.assert_close(ours(x)[0], first)  # nothing was kept inside
    alone = ours(x[1:], memory[1:])
    together = ours(x, memory)
    torch.testing.assert_close(alone[2], together[2][1:], atol=1e-6, rtol=1e-5)
    assert {name.split(".")[0] for name in ours.state_dict()} == {"projection", "output", "memory_gain"}


def test_without_plasticity_a_memory_passes_through_unread() -> None:
    memory = torch.randn(B, HEADS, 4, 4)
    attended, _, after = module()(tokens(), memory)
    assert after is memory
    torch.testing.assert_close(attended, module()(tokens())[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_keep_the_memory_in_float32(dtype: torch.dtype) -> None:
    ours, x = module(plasticity=0.5, recurrent_steps=2), tokens()
    expected, _, memory = ours(x)
    with torch.autocast("cpu", dtype):
        mixed, _, mixed_memory = ours(x, memory)
    half, weights, after = ours.to(dtype)(x.to(dtype), memory)
    assert mixed.isfinite().all()
    assert half.dtype == weights.dtype == dtype
    assert after.dtype == mixed_memory.dtype == torch.float32
    torch.testing.assert_close(ours(x.to(dtype))[0].float(), expected, atol=0.05, rtol=0.05)


def test_inference_mode_and_no_batch() -> None:
    ours, x = module(**ALL), tokens()
    with torch.inference_mode():
        attended, weights, memory = ours(x[0])
        again, none, _ = ours(x[0], memory, need_weights=False)
    assert attended.shape == (T, D)
    assert weights.shape == (HEADS, T, T)
    assert memory.shape == (1, HEADS, 4, 4)
    assert again.shape == (T, D)
    assert none is None
    torch.testing.assert_close(attended, ours(x[:1])[0][0])


def test_what_is_wrong_is_said() -> None:
    for name, value in {"sparse_ratio": 1.1, "recurrent_steps": 0, "plasticity": -0.1, "dropout": 1.0,
                        "step_size": 0.0, "decay": 1.0}.items():
        with pytest.raises(ConfigError, match=name):
            module(**{name: value})
    with pytest.raises(InputError, match="memory is"):
        module(plasticity=0.1)(tokens(), torch.zeros(1, HEADS, 4, 4))


def test_a_ratio_may_be_a_number_of_numpy() -> None:
    assert survivors(10, np.float32(0.7)) == survivors(10, np.float64(0.7)) == 3


@pytest.mark.parametrize("shape", [(0, T, D), (2, 0, D)])
def test_nothing_comes_of_nothing_also_by_blocks(shape: tuple[int, ...]) -> None:
    for blocks in (False, True):
        attended, _, memory = module(**ALL, blocks=blocks)(torch.zeros(shape), need_weights=False)
        assert attended.shape == shape
        assert not memory.any()
