"""The one attention: both its ways give what the formula says, in values and gradients, and nothing ignored gets through."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from multimodal.attention import attend, entmax15
from multimodal.attention.tiled import TILE, Softmax, tiles
from multimodal.errors import ConfigError

B, H, TQ, TK, D = 2, 3, 5, 7, 4
NAN = math.nan


def qkv(dtype: torch.dtype = torch.float64, *, queries: int = TQ, values: int = D) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    sizes = ((queries, D), (TK, D), (TK, values))
    query, key, value = (torch.randn(B, H, *size, dtype=dtype, requires_grad=True) for size in sizes)
    return query, key, value


def by_bisection(logits: Tensor) -> Tensor:
    """1.5-entmax without sorting: the tau at which the sum of max(z / 2 - tau, 0)^2 is 1 lies between two bounds."""
    halves = logits / 2
    low, high = halves.amax(-1, keepdim=True) - 1, halves.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        above = (halves - middle).clamp(min=0).square().sum(-1, keepdim=True) >= 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (halves - low).clamp(min=0).square()


def written_out(
    query: Tensor, key: Tensor, value: Tensor, *, ignore: Tensor | None = None, bias: Tensor | None = None,
    normalize: str = "softmax",
) -> tuple[Tensor, Tensor]:
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(D)
    logits = logits if bias is None else logits + bias
    logits = logits if ignore is None else logits.masked_fill(ignore, -torch.inf)
    weights = by_bisection(logits) if normalize == "entmax" else logits.exp() / logits.exp().sum(-1, keepdim=True)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights


@pytest.mark.parametrize("normalize", ["softmax", "entmax"])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("ignored", [None, (B, 1, 1, TK), (TQ, TK), (B, 1, TQ, TK)])
@pytest.mark.parametrize("biased", [None, (B, 1, 1, TK), (TQ, TK), (1, H, TQ, TK)])
@pytest.mark.parametrize("tile", [1, 3 * TK, 1 << 18])
def test_both_ways_are_the_formula_in_values_and_gradients(  # noqa: PLR0917 - one per parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    normalize: str,
    need_weights: bool,
    ignored: tuple[int, ...] | None,
    biased: tuple[int, ...] | None,
    tile: int,
) -> None:
    monkeypatch.setitem(TILE, "cpu", tile)
    query, key, value = qkv()
    ignore = None if ignored is None else (torch.rand(ignored) < 0.4).index_fill(-1, torch.tensor([2]), False)
    bias = None if biased is None else torch.randn(biased, dtype=torch.float64, requires_grad=True)
    attended, weights = attend(
        query, key, value, ignore=ignore, bias=bias, need_weights=need_weights, normalize=normalize
    )
    right, right_weights = written_out(query, key, value, ignore=ignore, bias=bias, normalize=normalize)
    torch.testing.assert_close(attended, right)
    loss, right_loss = (attended * torch.sin(right.detach())).sum(), (right * torch.sin(right.detach())).sum()
    if normalize == "softmax":
        inputs = [query, key, value] if bias is None else [query, key, value, bias]
        if need_weights:
            torch.testing.assert_close(weights, right_weights)
            loss, right_loss = loss + (weights**2).sum(), right_loss + (right_weights**2).sum()
        for got, expected in zip(
            torch.autograd.grad(loss, inputs), torch.autograd.grad(right_loss, inputs), strict=True
        ):
            torch.testing.assert_close(got, expected)
    assert (weights is not None) == need_weights


def test_entmax_attention_has_the_gradient_of_its_values() -> None:
    torch.autograd.gradcheck(lambda *x: attend(*x, normalize="entmax", need_weights=True), qkv())


def test_entmax_against_bisection_with_ties_and_extremes() -> None:
    torch.manual_seed(0)
    logits = torch.cat([torch.randn(20, 9), 30 * torch.randn(20, 9), torch.zeros(1, 9), torch.arange(9.0)[None]]).double()
    logits[3, 2] = logits[4, 0] = -torch.inf
    weights = entmax15(logits)
    torch.testing.assert_close(weights, by_bisection(logits), atol=1e-7, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(logits), dtype=torch.float64))
    assert weights[3, 2] == 0
    assert (weights == 0).any(), "it never says that a key does not matter"
    torch.autograd.gradcheck(entmax15, torch.randn(4, 6, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("shape", [(B, 1, 1, TK), (B, 1, TQ, TK)])
@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_what_is_ignored_cannot_reach_a_result_or_a_gradient(
    need_weights: bool, shape: tuple[int, ...], bad: float
) -> None:
    query, key, value = (x.detach() for x in qkv())
    ignore = torch.zeros(shape, dtype=torch.bool)
    ignore[..., 4:] = True
    clean = attend(query, key[:, :, :4], value[:, :, :4])[0]
    key[:, :, 4:] = value[:, :, 4:] = bad
    for x in (query, key, value):
        x.requires_grad_()
    attended, _ = attend(query, key, value, ignore=ignore, need_weights=need_weights)
    torch.testing.assert_close(attended, clean)
    attended.square().sum().backward()
    for x in (query, key, value):
        assert x.grad is not None
        assert x.grad.isfinite().all()
    assert key.grad is not None
    assert (key.grad[:, :, 4:] == 0).all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_nan_reaches_those_who_see_it_and_only_those(need_weights: bool) -> None:
    query, key, value = (x.detach() for x in qkv(queries=TK))
    key[0, :, 5] = NAN
    later = torch.ones(TK, TK, dtype=torch.bool).triu(1)
    attended, _ = attend(query, key, value, ignore=later, need_weights=need_weights)
    assert attended[0, :, :5].isfinite().all()
    assert attended[1].isfinite().all()
    assert attended[0, :, 5:].isnan().all(), "a broken sensor was hidden"


@pytest.mark.parametrize("normalize", ["softmax", "entmax"])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("by_bias", [False, True])
def test_a_query_that_may_see_nothing_gets_zeros_and_gives_finite_gradients(
    normalize: str, need_weights: bool, by_bias: bool
) -> None:
    query, key, value = qkv()
    ignore = torch.zeros(B, 1, TQ, TK, dtype=torch.bool)
    ignore[0, :, 1] = ignore[1] = True
    how = {"bias": torch.zeros(ignore.shape).masked_fill(ignore, -torch.inf)} if by_bias else {"ignore": ignore}
    attended, weights = attend(query, key, value, **how, need_weights=need_weights, normalize=normalize)
    assert (attended[1] == 0).all()
    assert (attended[0, :, 1] == 0).all()
    assert (attended[0, :, 0] != 0).all()
    if weights is not None:
        torch.testing.assert_close(weights.sum(-1), (~ignore.all(-1)).double().expand(B, H, TQ))
    attended.square().sum().backward()
    for x in (query, key, value):
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert (x.grad[1] == 0).all()


@pytest.mark.parametrize("tile", [1, 3 * TK, 1 << 18])
def test_the_mean_of_the_heads_needs_no_weights_of_each(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setitem(TILE, "cpu", tile)
    query, key, value = qkv()
    attended, weights = attend(query, key, value, need_weights=True)
    mean = weights.mean(1)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            averaged, got = attend(query, key, value, need_weights=True, average=True)
        torch.testing.assert_close(got, mean)
        assert torch.equal(averaged, attended)
    inputs = (query, key)
    for a, b in zip(
        torch.autograd.grad(got.sin().sum(), inputs), torch.autograd.grad(mean.sin().sum(), inputs), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("training", "average", "times"), [(False, False, 1.5), (True, False, 2.0), (False, True, 0.6)])
def test_little_is_held_beyond_the_weights(training: bool, average: bool, times: float) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(1, 8, 512, 16, requires_grad=training) for _ in range(3)]
    size = 8 * 512 * 512 * 4
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        attended, weights = attend(*inputs, need_weights=True, average=average)
        if training:
            attended.sum().backward()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    assert 4 * weights.numel() <= most <= times * size


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("need_weights", [False, True])
def test_half_precision_does_not_overflow_and_stays_near_full(dtype: torch.dtype, need_weights: bool) -> None:
    query, key, value = (x.detach() for x in qkv(torch.float32))
    query, key = 300 * query, 300 * key  # products beyond what float16 can hold
    query, key, value = (x.to(dtype) for x in (query, key, value))
    attended, weights = attend(query, key, value, need_weights=need_weights)
    expected, right = attend(query.float(), key.float(), value.float(), need_weights=True)
    assert attended.dtype == dtype
    torch.testing.assert_close(attended.float(), expected, atol=2e-2, rtol=2e-2)
    if weights is not None:
        assert weights.dtype == dtype
        torch.testing.assert_close(weights.float(), right, atol=1e-2, rtol=0)


def test_autocast_does_not_coarsen_the_weights() -> None:
    query, key, value = (x.detach() for x in qkv(torch.float32))
    exact = attend(query, key, value, need_weights=True)[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(query, key, value, need_weights=True)[1], exact)


def test_dropout_is_unbiased_repeatable_and_never_shown() -> None:
    query, key, value = qkv()
    plain, right = attend(query, key, value, need_weights=True)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        attended, weights = attend(query, key, value, dropout=0.5, need_weights=True)
        torch.testing.assert_close(weights, right)
        results.append(attended)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    mean = torch.stack([attend(query, key, value, dropout=0.5, need_weights=True)[0] for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, plain, atol=0.1, rtol=0)


def test_dropout_has_the_gradient_of_what_it_did() -> None:
    def seeded(*inputs: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attend(*inputs, dropout=0.4, need_weights=True)[0]

    torch.autograd.gradcheck(seeded, qkv())


def test_top_k_keeps_exactly_k_also_of_equal_logits() -> None:
    query, key, value = qkv()
    weights = attend(torch.zeros_like(query), key, value, normalize=Softmax(top=3), need_weights=True)[1]
    torch.testing.assert_close(weights, torch.tensor([1 / 3] * 3 + [0.0] * 4).double().expand(B, H, TQ, TK))
    weights = attend(query, key, value, normalize=Softmax(top=3), need_weights=True)[1]
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key)
    assert ((weights > 0) == (logits >= logits.sort(-1).values[..., -3, None])).all()
    torch.autograd.gradcheck(lambda *x: attend(*x, normalize=Softmax(top=3))[0], (query, key, value))


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (4, 2, 3, 1), (1, 2, 0, 3)])
@pytest.mark.parametrize("size", [1, 7, 20, 36, 110, 10**6])
def test_tiles_cover_every_weight_once(shape: tuple[int, ...], size: int) -> None:
    seen = torch.zeros(shape)
    for tile in tiles(torch.Size(shape), size):
        seen[tile] += 1
        assert seen[tile].numel() <= max(size, shape[-1])
        assert seen[tile].is_contiguous()
    assert (seen == 1).all()


def test_values_may_be_wider_than_keys() -> None:
    query, key, value = qkv(values=9)
    for need_weights in (False, True):
        attended = attend(query, key, value, need_weights=need_weights)[0]
        torch.testing.assert_close(attended, written_out(query, key, value)[0])


def test_an_unknown_way_to_normalize_is_refused_with_the_known() -> None:
    with pytest.raises(ConfigError, match="softmax, entmax"):
        attend(*qkv(), normalize="sparsemax")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("need_weights", [True, False])
def test_a_bias_that_is_finite_stays_so_in_another_dtype(dtype: torch.dtype, need_weights: bool) -> None:
    query, key, value = qkv(dtype)
    bias = torch.zeros(TQ, TK)
    bias[1] = torch.finfo(torch.float32).min
    attended, _ = attend(query, key, value, bias=bias, need_weights=need_weights)
    assert attended.dtype == dtype
    assert attended.isfinite().all()
    assert (attended[:, :, 1] != 0).all()  # no mask: every key counts as little as any other


@pytest.mark.parametrize("shape", [(TK,), (1, TK), (TQ, TK), (H, 1, TK), (B, 1, 1, TK)])
def test_a_mask_of_fewer_dimensions_is_the_same_mask(shape: tuple[int, ...]) -> None:
    query, key, value = qkv()
    ignore = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.4
    whole = attend(query, key, value, ignore=ignore.expand(B, H, TQ, TK), need_weights=True)
    for found, expected in zip(attend(query, key, value, ignore=ignore, need_weights=True), whole, strict=True):
        torch.testing.assert_close(found, expected)
