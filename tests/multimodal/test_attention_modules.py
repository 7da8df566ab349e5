"""Self and cross attention as torch's own when given its weights; patterns, quality and gates as their names say."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from multimodal.attention import CrossModalAttention, MultiHeadCrossModalAttention, SelfAttention, named
from multimodal.errors import ConfigError, InputError

B, TQ, TK, D, H = 2, 5, 6, 16, 4
PADDING = torch.tensor([[False] * TK, [False] * 3 + [True] * 3])
MASKS: dict[str, dict[str, Tensor]] = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "bool": {"attn_mask": torch.tensor([[False, True, False, True, False, False]] * 3 + [[False] * TK] * 3)},
    "float": {"attn_mask": torch.linspace(-2, 2, 36).view(6, 6)},
    "each head": {"attn_mask": torch.linspace(-3, 3, B * H * 36).view(B * H, 6, 6)},
    "both": {"key_padding_mask": PADDING, "attn_mask": torch.ones(TK, TK, dtype=torch.bool).triu(1)},
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def torchs(**options: Any) -> nn.MultiheadAttention:
    made = nn.MultiheadAttention(D, H, batch_first=True, **options)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)  # biases too, which are zero at the start
    return made


def same_with_gradients(ours: tuple[Tensor, Any], torchs: tuple[Tensor, Any], inputs: list[Tensor], pairs: Any) -> None:
    """Results, weights and the gradients of inputs and of (ours, torch's) parameters within 1e-5."""
    torch.testing.assert_close(ours[0], torchs[0], atol=1e-5, rtol=1e-5)
    losses = [result.sin().sum() for result, _ in (ours, torchs)]
    if ours[1] is not None:
        torch.testing.assert_close(ours[1], torchs[1], atol=1e-5, rtol=1e-5)
        losses = [loss + weights.square().sum() for loss, (_, weights) in zip(losses, (ours, torchs), strict=True)]
    got = torch.autograd.grad(losses[0], [*inputs, *(p for p, _ in pairs)])
    expected = torch.autograd.grad(losses[1], [*inputs, *(p for _, p in pairs)])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_self_attention_is_torchs(masks: str, need_weights: bool, average: bool) -> None:
    theirs = torchs()
    ours = SelfAttention.from_torch(theirs)
    x = torch.randn(B, TK, D, requires_grad=True)
    asked = {"need_weights": need_weights, "average_attn_weights": average}
    pairs = [
        (ours.projection.weight, theirs.in_proj_weight), (ours.projection.bias, theirs.in_proj_bias),
        (ours.output.weight, theirs.out_proj.weight), (ours.output.bias, theirs.out_proj.bias),
    ]
    same_with_gradients(ours(x, **MASKS[masks], **asked), theirs(x, x, x, **MASKS[masks], **asked), [x], pairs)


@pytest.mark.parametrize("dims", [{}, {"kdim": 12, "vdim": 12}, {"kdim": 12, "vdim": 20}, {"bias": False}])
@pytest.mark.parametrize("masks", ["none", "padding", "bool", "float", "each head"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_cross_attention_is_torchs(dims: dict[str, Any], masks: str, need_weights: bool) -> None:
    theirs = torchs(**dims)
    ours = CrossModalAttention.from_torch(theirs)
    query = torch.randn(B, TQ, D, requires_grad=True)
    context = torch.randn(B, TK, theirs.kdim, requires_grad=True)
    apart = theirs.vdim != theirs.kdim
    values = torch.randn(B, TK, theirs.vdim, requires_grad=True) if apart else context
    chosen = {name: mask[..., :TQ, :] if name == "attn_mask" else mask for name, mask in MASKS[masks].items()}
    asked = {"need_weights": need_weights, "average_attn_weights": False}
    pairs = [(ours.output.weight, theirs.out_proj.weight)]
    if theirs.in_proj_weight is None:
        pairs += [(ours.key.weight, theirs.k_proj_weight), (ours.value.weight, theirs.v_proj_weight)]
    same_with_gradients(
        ours(query, context, values=values if apart else None, **chosen, **asked),
        theirs(query, context, values, **chosen, **asked),
        [query, context, values] if apart else [query, context],
        pairs,
    )


def test_what_torch_adds_to_the_keys_is_refused() -> None:
    for options in ({"add_bias_kv": True}, {"add_zero_attn": True}):
        with pytest.raises(ConfigError, match="add_bias_kv"):
            SelfAttention.from_torch(torchs(**options))
        with pytest.raises(ConfigError, match="add_bias_kv"):
            CrossModalAttention.from_torch(torchs(**options))
    with pytest.raises(ConfigError, match="equal dims"):
        SelfAttention.from_torch(torchs(kdim=3, vdim=4))


def expected_visible(pattern: str, queries: int, keys: int) -> Tensor:
    """Written out key by key."""
    seen = torch.zeros(queries, keys, dtype=torch.bool)
    for q in range(queries):
        i = math.floor((q + 0.5) * keys / queries)
        for j in range(keys):
            seen[q, j] = {
                "dense": True, "local": abs(i - j) <= 2, "strided": (i - j) % 3 == 0, "block": i // 4 == j // 4,
                "global": i < 2 or j < 2,
            }[pattern]
    return seen


OPTIONS = {"dense": {}, "local": {"window": 2}, "strided": {"stride": 3}, "block": {"block": 4}, "global": {"tokens": 2}}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("length", [1, 4, 11])
def test_a_pattern_sees_what_it_says_and_its_rows_sum_to_one(name: str, length: int) -> None:
    module = SelfAttention(D, H, name, **OPTIONS[name])
    x = torch.randn(B, length, D)
    attended, weights = module(x)
    assert ((weights > 0) == expected_visible(name, length, length)).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, length))
    torch.testing.assert_close(module(x, need_weights=False)[0], attended)


@pytest.mark.parametrize(("name", "options"), [("top-k", {"k": 3}), ("entmax", {})])
def test_patterns_that_choose_by_content(name: str, options: dict[str, int]) -> None:
    module = SelfAttention(D, H, name, **options)
    x = 4 * torch.randn(B, TK, D)
    attended, weights = module(x, PADDING)
    kept = (weights > 0).sum(-1)
    if name == "top-k":
        assert (kept == 3).all()
    else:
        assert 1 < kept.float().mean() < 5, "it neither chooses one key nor keeps all"
    assert (weights[1, :, :, 3:] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, TK))
    torch.testing.assert_close(module(x, PADDING, need_weights=False)[0], attended)


@pytest.mark.parametrize("name", [*OPTIONS, "top-k", "entmax"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_padding_changes_nothing_whatever_it_holds(name: str, need_weights: bool) -> None:
    module = SelfAttention(D, H, name)
    x = torch.randn(B, 70, D)
    padded = torch.cat([x, torch.full((B, 9, D), math.nan)], 1)
    mask = torch.arange(79).expand(B, 79) >= 70
    attended, _ = module(padded, mask, need_weights=need_weights)
    torch.testing.assert_close(attended[:, :70], module(x, need_weights=need_weights)[0], atol=1e-5, rtol=1e-5)
    attended[:, :70].square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize(("name", "options"), [("local", {"window": 5}), ("local", {"window": 70}), ("block", {"block": 8})])
@pytest.mark.parametrize("length", [300, 304])
@pytest.mark.parametrize("padded", [False, True])
def test_a_band_is_computed_as_the_whole_matrix_would_be(
    name: str, options: dict[str, int], length: int, padded: bool
) -> None:
    module = SelfAttention(D, H, name, **options)
    nn.init.ones_(module.output.bias)
    x = torch.randn(B, length, D)
    mask = None
    if padded:
        mask = torch.rand(B, length) < 0.3
        mask[1, 40:250] = True  # longer than any window: queries there see nothing
        x = x.masked_fill(mask[..., None], math.nan)
    x.requires_grad_()
    results, gradients = [], []
    for need_weights in (False, True):
        attended, _ = module(x, mask, need_weights=need_weights)
        results.append(attended)
        gradients.append(torch.autograd.grad(attended.square().sum(), [x, *module.parameters()]))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)
    for got, expected in zip(*gradients, strict=True):
        assert got.isfinite().all()
        torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-4)
    if padded and name == "block":
        assert (results[0][1, 48:248] == 0).all()


def test_names_and_options_are_refused_with_the_right_ones() -> None:
    with pytest.raises(ConfigError, match="dense, local, strided, block, global, top-k, entmax"):
        SelfAttention(D, pattern="sparkly")
    with pytest.raises(ConfigError, match="the one option 'window', not 'stride'"):
        SelfAttention(D, pattern="local", stride=2)
    with pytest.raises(ConfigError, match="no options, not 'k'"):
        SelfAttention(D, k=2)
    with pytest.raises(ConfigError, match="window is 0"):
        SelfAttention(D, pattern="local", window=0)
    with pytest.raises(ConfigError, match="multiple"):
        SelfAttention(D, num_heads=3)
    with pytest.raises(ConfigError, match="dropout is 1"):
        SelfAttention(D, dropout=1.0)
    with pytest.raises(ConfigError, match="sequence"):
        MultiHeadCrossModalAttention(3, 4, D, patterns="dense")
    assert named("top_k") == named("topk") == named("top-k", k=16)
    assert named("entmax15") == named("entmax")


def test_wrong_inputs_are_refused_with_the_right_shape() -> None:
    module = CrossModalAttention(12, 20, D, H)
    query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
    for wrong, message in (
        ({"query": torch.randn(B, TQ, 13)}, "12"),
        ({"context": torch.randn(B + 1, TK, 20)}, "same batch"),
        ({"context": torch.randn(TK, 20)}, "same batch"),
        ({"key_padding_mask": torch.zeros(B, TQ, dtype=torch.bool)}, "True = ignore"),
        ({"key_padding_mask": torch.zeros(B, TK)}, "bool"),
        ({"attn_mask": torch.zeros(TK, TQ)}, "attn_mask"),
        ({"quality": torch.ones(B, TQ)}, "per key"),
        ({"quality": torch.full((B, TK), 1.5)}, "outside"),
        ({"quality": torch.full((B,), math.nan)}, "outside"),
        ({"values": context}, "value_dim"),
    ):
        with pytest.raises(InputError, match=message):
            module(**({"query": query, "context": context} | wrong))


@pytest.mark.parametrize("need_weights", [False, True])
def test_quality_one_changes_no_bit_and_zero_is_a_mask(need_weights: bool) -> None:
    module = CrossModalAttention(12, 20, D, H)
    query, context = torch.randn(B, 33, 12), torch.randn(B, 70, 20)
    plain = module(query, context, need_weights=need_weights)[0]
    for ones in (torch.ones(B, 70), torch.ones(B)):
        assert torch.equal(module(query, context, quality=ones, need_weights=need_weights)[0], plain)
    quality = torch.ones(B, 70)
    quality[1, 7:] = 0
    broken = context.clone()
    broken[1, 7:] = math.nan
    routed, weights = module(query, broken, quality=quality, need_weights=need_weights)
    masked = module(query, context, quality == 0, need_weights=need_weights)[0]
    assert torch.equal(routed, masked)
    assert torch.equal(routed[0], plain[0])
    assert weights is None or (weights[1, :, :, 7:] == 0).all()


def test_quality_of_a_key_multiplies_its_odds_and_that_of_a_sample_the_output() -> None:
    module = CrossModalAttention(12, 20, D, H)
    query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
    quality = torch.rand(B, TK)
    plain, weights = module(query, context, need_weights=True)
    routed = module(query, context, quality=quality, need_weights=True)[1]
    odds = weights * quality[:, None, None]
    torch.testing.assert_close(routed, odds / odds.sum(-1, keepdim=True))
    torch.testing.assert_close(module(query, context, quality=torch.tensor([0.5, 0.0]))[0][0], 0.5 * plain[0])
    assert (module(query, context, quality=torch.tensor([0.5, 0.0]))[0][1] == 0).all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_quality_learns_also_beside_a_zero(need_weights: bool) -> None:
    module = CrossModalAttention(12, 20, D, H)
    query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
    quality = torch.rand(B, TK)
    quality[0, 0] = 0
    quality.requires_grad_()
    module(query, context, quality=quality, need_weights=need_weights)[0].square().sum().backward()
    assert quality.grad is not None
    assert quality.grad.isfinite().all()
    assert quality.grad[0, 0] == 0
    assert (quality.grad[1] != 0).all()


def test_a_source_of_no_use_at_all_gives_zeros_even_with_a_bias() -> None:
    module = CrossModalAttention(12, 20, D, H)
    nn.init.ones_(module.output.bias)
    query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
    quality = torch.ones(B, TK)
    quality[0] = 0
    attended = module(query, context, quality=quality)[0]
    assert (attended[0] == 0).all()
    assert (attended[1] != 0).any()


def test_each_head_looks_by_its_pattern_and_a_closed_gate_shuts_it_off() -> None:
    names = ("dense", "local", "local", "strided", "global", "top-k", "block", "entmax")
    options = {**OPTIONS, "top-k": {"k": 3}, "entmax": {}}
    module = MultiHeadCrossModalAttention(12, 20, D, patterns=[named(n, **options[n]) for n in names])
    assert torch.equal(module.gates, torch.ones(len(names)))
    query, context = torch.randn(B, 4, 12), torch.randn(B, 11, 20)
    attended, weights = module(query, context, need_weights=True)
    assert weights.shape == (B, len(names), 4, 11)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, len(names), 4))
    for head, name in enumerate(names):
        if name in OPTIONS:
            assert ((weights[:, head] > 0) == expected_visible(name, 4, 11)).all(), name
    assert ((weights[:, 5] > 0).sum(-1) == 3).all()
    torch.testing.assert_close(module(query, context, need_weights=False)[0], attended)
    with torch.no_grad():
        module.gate.fill_(-100.0)
    assert module(query, context)[0].abs().max() == 0, "the output bias is zero at the start"


def test_the_gates_learn_which_pattern_is_of_use() -> None:
    """What is wanted is the context's token at the query's own place: of these heads only the second can tell it."""
    module = MultiHeadCrossModalAttention(4, 8, 16, patterns=("dense", named("block", block=1)))
    steps = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(150):
        context = torch.randn(8, 12, 8)
        attended = module(torch.zeros(8, 12, 4), context, need_weights=False)[0]
        loss = (attended[..., :8] - context).square().mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    dense, own = module.gates.tolist()
    assert own > dense + 0.2
    assert loss < 1e-3


def test_without_a_batch_and_with_an_empty_one() -> None:
    cross = CrossModalAttention(12, 20, D, H)
    heads = MultiHeadCrossModalAttention(12, 20, D)
    query, context, quality = torch.randn(TQ, 12), torch.randn(TK, 20), torch.rand(TK)
    for module in (cross, heads):
        attended, weights = module(query, context, PADDING[1], quality=quality, need_weights=True)
        one, its = module(query[None], context[None], PADDING[1:], quality=quality[None], need_weights=True)
        assert torch.equal(attended, one[0])
        assert torch.equal(weights, its[0])
        assert torch.equal(module(query, context, quality=torch.tensor(0.0))[0], torch.zeros(TQ, D))
        assert module(torch.randn(0, TQ, 12), torch.randn(0, TK, 20))[0].shape == (0, TQ, D)
    assert SelfAttention(D, H)(torch.randn(TK, D), PADDING[1])[1].shape == (H, TK, TK)
    assert SelfAttention(D, H)(torch.randn(B, 0, D))[0].shape == (B, 0, D)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("need_weights", [False, True])
def test_half_precision_autocast_and_inference_mode(dtype: torch.dtype, need_weights: bool) -> None:
    module = MultiHeadCrossModalAttention(12, 20, D).eval()
    query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
    asked = {"quality": torch.rand(B, TK), "key_padding_mask": PADDING, "need_weights": need_weights}
    exact = module(query, context, **asked)[0]
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(module(query, context, **asked)[0].float(), exact, atol=3e-2, rtol=3e-2)
    asked["quality"] = asked["quality"].to(dtype)
    half = module.to(dtype)
    with torch.inference_mode():
        result = half(query.to(dtype), context.to(dtype), **asked)[0]
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), exact, atol=3e-2, rtol=3e-2)


def test_saved_and_loaded_it_gives_the_same_bits() -> None:
    for make in (lambda: SelfAttention(12, 4), lambda: MultiHeadCrossModalAttention(12, 12, D)):
        first, second = make().eval(), make().eval()
        data = safetensors.torch.save(first.state_dict())
        second.load_state_dict(safetensors.torch.load(data))
        x = torch.randn(B, TQ, 12)
        inputs = (x,) if isinstance(first, SelfAttention) else (x, x)
        assert torch.equal(first(*inputs)[0], second(*inputs)[0])
        buffer = io.BytesIO()
        torch.save(first.state_dict(), buffer)
        buffer.seek(0)
        assert torch.load(buffer, weights_only=True).keys() == second.state_dict().keys()


def test_dropout_acts_in_training_only_and_never_on_what_is_shown() -> None:
    module = SelfAttention(D, H, dropout=0.5)
    x = torch.randn(B, TK, D)
    trained, shown = module(x)
    plain, weights = module.eval()(x)
    assert torch.equal(shown, weights)
    assert not torch.allclose(trained, plain)
    assert torch.equal(module(x)[0], plain)


@pytest.mark.parametrize("module", [CrossModalAttention(D, 6, D, H), MultiHeadCrossModalAttention(D, 6, D)])
@pytest.mark.parametrize("shape", [(B,), (B, TK)])
def test_a_quality_of_another_dtype_leaves_the_results_in_theirs(module: nn.Module, shape: tuple[int, ...]) -> None:
    quality = torch.rand(shape, dtype=torch.float64)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        query, context = torch.randn(B, TQ, D, dtype=dtype), torch.randn(B, TK, 6, dtype=dtype)
        attended, _ = module.to(dtype)(query, context, quality=quality)
        assert attended.dtype == dtype


@pytest.mark.parametrize("module", [CrossModalAttention(D, 6, D, H), MultiHeadCrossModalAttention(D, 6, D)])
def test_a_context_without_tokens_is_one_that_may_not_be_seen(module: nn.Module) -> None:
    nn.init.normal_(module.output.bias)
    nothing = {"key_padding_mask": torch.zeros(B, 0, dtype=torch.bool)}, {"quality": torch.rand(B, 0)}
    for masked in nothing:
        attended, _ = module(torch.randn(B, TQ, D), torch.randn(B, 0, 6), **masked)
        assert not attended.any()


@pytest.mark.parametrize("pattern", ["dense", "local", "top-k", "entmax"])
def test_a_module_can_be_saved_whole(pattern: str) -> None:
    file = io.BytesIO()
    module = SelfAttention(D, H, pattern)
    torch.save(module, file)
    file.seek(0)
    x = torch.randn(B, TK, D)
    assert torch.equal(torch.load(file, weights_only=False)(x)[0], module(x)[0])
