"""Two streams that attend to each other: what each finds, in both directions, and that neither is favoured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from multimodal.attention.co_attention import CoAttention
from multimodal.errors import ConfigError, InputError

B, TV, TL, DV, DL, H, HEADS = 2, 5, 3, 6, 4, 16, 4


def module(tokens: int = 0, seed: int = 0) -> CoAttention:
    torch.manual_seed(seed)
    return CoAttention(DV, DL, H, HEADS, bottleneck_tokens=tokens).eval()


def inputs(seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(B, TV, DV), torch.randn(B, TL, DL)


def one_side(stream: nn.Module, own: Tensor, other: nn.Module, foreign: Tensor) -> tuple[Tensor, Tensor]:
    """By torch's own attention: the query and output of one stream, keys and values of the other."""
    torch_attention = nn.MultiheadAttention(H, HEADS, batch_first=True)
    with torch.no_grad():
        torch_attention.in_proj_weight.copy_(torch.cat([stream.query.weight, other.key.weight, other.value.weight]))
        torch_attention.in_proj_bias.copy_(torch.cat([stream.query.bias, other.key.bias, other.value.bias]))
        torch_attention.out_proj.load_state_dict(stream.output.state_dict())
    own, foreign = stream.enter(own), other.enter(foreign)
    found, weights = torch_attention(own, foreign, foreign, average_attn_weights=False)
    middle = stream.found_norm(own + found)
    return stream.norm(middle + stream.feedforward(middle)), weights


def test_both_directions_are_residual_norm_and_feed_forward_round_torchs_attention() -> None:
    co, (seen, said) = module(), inputs()
    vision, language, maps = co(vision_features=seen, language_features=said)
    assert vision.shape == (B, TV, H)
    assert language.shape == (B, TL, H)
    for got, weights, expected in (
        (vision, maps["vision_to_language"], one_side(co.vision, seen, co.language, said)),
        (language, maps["language_to_vision"], one_side(co.language, said, co.vision, seen)),
    ):
        torch.testing.assert_close(got, expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(weights, expected[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [0, 3])
def test_exchanging_inputs_and_weights_exchanges_the_results(tokens: int) -> None:
    co, (seen, said) = module(tokens), inputs()
    twin = CoAttention(DL, DV, H, HEADS, bottleneck_tokens=tokens).eval()
    names = {"vision": "language", "language": "vision"}
    twin.load_state_dict({
        ".".join(names.get(part, part) for part in name.split(".")): value for name, value in co.state_dict().items()
    })
    vision, language, maps = co(seen, said)
    other_vision, other_language, other_maps = twin(said, seen)
    torch.testing.assert_close(other_language, vision, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other_vision, language, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other_maps["vision_to_language"], maps["language_to_vision"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [0, 3])
def test_padding_changes_nothing_even_where_it_is_nan(tokens: int) -> None:
    co, (seen, said) = module(tokens), inputs()
    vision, language, maps = co(seen, said)
    padded = torch.cat([seen, torch.full((B, 2, DV), torch.nan)], 1).requires_grad_()
    hidden = torch.zeros(B, TV + 2, dtype=torch.bool)
    hidden[:, TV:] = True
    got_vision, got_language, got = co(padded, said, vision_padding_mask=hidden)
    torch.testing.assert_close(got_vision[:, :TV], vision, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got_language, language, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got["language_to_vision"][..., :TV], maps["language_to_vision"], atol=1e-5, rtol=1e-5)
    assert not got["language_to_vision"][..., TV:].any()
    (got_language.sum() + got_vision[:, :TV].sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in co.parameters())
    assert padded.grad is not None
    assert padded.grad[:, :TV].isfinite().all()


def test_a_stream_without_a_partner_keeps_what_it_had() -> None:
    co, (seen, said) = module(), inputs()
    with torch.no_grad():
        co.vision.output.bias.fill_(7)  # would be added if nothing found were projected
    vision, _, maps = co(seen, said, language_padding_mask=torch.ones(B, TL, dtype=torch.bool))
    middle = co.vision.found_norm(co.vision.enter(seen))
    torch.testing.assert_close(vision, co.vision.norm(middle + co.vision.feedforward(middle)), atol=1e-5, rtol=1e-5)
    assert not maps["vision_to_language"].any()


@pytest.mark.parametrize("tokens", [0, 3])
def test_rows_of_every_map_sum_to_one_and_leaving_them_out_changes_nothing(tokens: int) -> None:
    co, (seen, said) = module(tokens), inputs()
    vision, language, maps = co(seen, said)
    assert maps["vision_to_language"].shape == (B, HEADS, TV, TL)
    assert maps["language_to_vision"].shape == (B, HEADS, TL, TV)
    for name in ("vision_to_language", "language_to_vision"):
        torch.testing.assert_close(maps[name].sum(-1), torch.ones_like(maps[name][..., 0]))
    bare_vision, bare_language, none = co(seen, said, need_weights=False)
    assert none == {}
    torch.testing.assert_close(bare_vision, vision, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bare_language, language, atol=1e-5, rtol=1e-5)
    _, _, averaged = co(seen, said, average_attn_weights=True)
    torch.testing.assert_close(averaged["vision_to_language"], maps["vision_to_language"].mean(1))


def test_the_bottleneck_is_the_only_way_between_the_streams() -> None:
    co, (seen, said) = module(tokens=2), inputs()
    vision, _, maps = co(seen, said)
    both = torch.cat([maps["bottleneck_to_vision"], maps["bottleneck_to_language"]], -1)
    torch.testing.assert_close(both.sum(-1), torch.ones(B, HEADS, 2))
    assert not torch.allclose(co(seen, said + 1)[0], vision)
    with torch.no_grad():  # keys and values of the bottleneck closed: nothing comes through
        co.bottleneck.value.weight.zero_()
    torch.testing.assert_close(co(seen, said + 1)[0], co(seen, said)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [0, 3])
def test_half_precision_and_autocast(dtype: torch.dtype, tokens: int) -> None:
    co, (seen, said) = module(tokens), inputs()
    expected = co(seen, said)[0]
    with torch.autocast("cpu", dtype):
        mixed = co(seen, said)[0]
    torch.testing.assert_close(mixed.float(), expected, atol=0.1, rtol=0.1)
    half = co.to(dtype)(seen.to(dtype), said.to(dtype))[0]
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.1)


def test_without_a_batch() -> None:
    co, (seen, said) = module(), inputs()
    vision, language, maps = co(seen[0], said[0], language_padding_mask=torch.tensor([False, False, True]))
    batch = co(seen[:1], said[:1], language_padding_mask=torch.tensor([[False, False, True]]))
    torch.testing.assert_close(vision, batch[0][0])
    torch.testing.assert_close(language, batch[1][0])
    assert maps["vision_to_language"].shape == (HEADS, TV, TL)


def test_what_is_wrong_is_said() -> None:
    co, (seen, said) = module(), inputs()
    with pytest.raises(InputError, match="batch of 2, language_features one of 1"):
        co(seen, said[:1])
    with pytest.raises(InputError, match="or neither"):
        co(seen, said[0])
    with pytest.raises(ConfigError, match="hidden_dim is 10"):
        CoAttention(DV, DL, 10, 4)
    with pytest.raises(ConfigError, match="bottleneck_tokens is -1"):
        CoAttention(DV, DL, 16, 4, bottleneck_tokens=-1)
