"""What all five fusions promise: the mean before training, nothing absent ever counted, no surprise from order or NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multimodal.errors import ConfigError, InputError
from multimodal.fusion import AdaptiveFusion, BilinearFusion, EarlyFusion, HierarchicalFusion, LateFusion

STRATEGIES = [EarlyFusion, LateFusion, HierarchicalFusion, BilinearFusion, AdaptiveFusion]
NAMES = ("audio", "image", "text")
H, B = 16, 5
Strategy = Callable[..., Any]

each = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.__name__)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def features(seed: int = 0, width: int = H, batch: int = B) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, width, generator=generator) for name in NAMES}


def qualities(seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(B, generator=generator) * 0.8 + 0.1 for name in NAMES}


def make(strategy: Strategy, width: int = H, *, trained: bool = False, **options: Any) -> Any:
    """`trained`: every parameter moved, so that the residual and the absent vectors do something."""
    torch.manual_seed(7)
    module = strategy(dict.fromkeys(NAMES, width), H, **options)
    if trained:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def weighted_mean(x: Mapping[str, Tensor], q: Mapping[str, Tensor]) -> Tensor:
    total = sum(q[name] for name in x)
    return sum(q[name][:, None] * x[name] for name in x) / total[:, None]  # type: ignore[return-value, index]


@each
@pytest.mark.parametrize("training", [True, False])
def test_untrained_it_is_the_quality_weighted_mean(strategy: Strategy, training: bool) -> None:
    module = make(strategy).train(training)
    x, q = features(), qualities()
    fused, metadata = module(x, quality=q)
    torch.testing.assert_close(fused, weighted_mean(x, q), atol=1e-6, rtol=0)
    assert not metadata["residual"].any()
    total = sum(q.values())
    for name in NAMES:
        torch.testing.assert_close(metadata["contributions"][name], q[name] / total)
    plain, _ = module(x)
    torch.testing.assert_close(plain, torch.stack(list(x.values())).mean(0), atol=1e-6, rtol=0)


@each
def test_untrained_other_widths_keep_every_inner_product(strategy: Strategy) -> None:
    narrow = features(width=8)
    module = make(strategy, 8).eval()
    fused, _ = module(narrow)
    mean = torch.stack(list(narrow.values())).mean(0)
    torch.testing.assert_close(fused @ fused.T, mean @ mean.T, atol=1e-5, rtol=1e-5)
    shape = strategy({"text": 256, "image": 512, "audio": 384}, 64)(
        {"text": torch.randn(2, 256), "image": torch.randn(2, 512), "audio": torch.randn(2, 384)}
    )[0].shape
    assert shape == (2, 64)


@each
def test_training_starts_and_teaches_everything(strategy: Strategy) -> None:
    """A zero-initialised residual whose gradient is zero too would never learn."""
    torch.manual_seed(0)
    module = strategy({"audio": 8, "image": H, "text": 8}, H, modality_dropout=0.3)
    x = {"audio": torch.randn(32, 8), "image": torch.randn(32, H), "text": torch.randn(32, 8)}
    target = torch.tanh(torch.randn(32, H))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    losses = []
    for _ in range(40):
        fused, metadata = module(x, quality={"image": torch.linspace(0.1, 1, 32), "text": 0.5, "audio": 0.9})
        loss = (fused - target).square().mean()
        (loss + 0.01 * metadata.get("load_balance_loss", 0)).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    still = [name for name, p in module.named_parameters() if torch.equal(p, before[name])]
    assert [name for name in still if not name.startswith("pool.")] == []  # tokens were not given


@each
def test_the_order_of_the_keys_changes_no_bit(strategy: Strategy) -> None:
    torch.manual_seed(3)
    one = strategy({"text": H, "image": H, "audio": H}, H).eval()
    torch.manual_seed(3)
    two = strategy({"audio": H, "text": H, "image": H}, H).eval()
    trained = make(strategy, trained=True).state_dict()
    one.load_state_dict(trained)
    two.load_state_dict(trained)
    x, q = features(), qualities()
    mask = {"text": torch.tensor([True, False, False, False, True])}
    reference, metadata = one(x, quality=q, mask=mask)
    for module in (one, two):
        fused, other = module(dict(reversed(x.items())), quality=dict(reversed(q.items())), mask=mask)
        assert torch.equal(fused, reference)
        assert all(torch.equal(other["contributions"][n], metadata["contributions"][n]) for n in NAMES)


@each
@pytest.mark.parametrize("trained", [False, True])
def test_absent_by_key_by_mask_by_quality_by_none_is_one_thing(strategy: Strategy, trained: bool) -> None:
    module = make(strategy, trained=trained).eval()
    x = features()
    everyone = torch.ones(B, dtype=torch.bool)
    for gone in NAMES:
        rest = {name: value for name, value in x.items() if name != gone}
        without, metadata = module(rest)
        for fused, _ in (
            module(x, mask={gone: everyone}),
            module(x, quality={gone: torch.zeros(B)}),
            module({**x, gone: None}),
            module({**x, gone: torch.full((B, H), torch.nan)}, mask={gone: everyone}, quality={gone: torch.nan}),
        ):
            torch.testing.assert_close(fused, without, atol=1e-6, rtol=1e-6)
        assert not metadata["contributions"][gone].any()
        if not trained:
            torch.testing.assert_close(without, torch.stack(list(rest.values())).mean(0), atol=1e-6, rtol=0)


@each
def test_every_subset_per_sample_is_as_if_it_came_alone(strategy: Strategy) -> None:
    """A mask in one sample must not touch its neighbours, and a batch of mixed subsets is what each gives alone."""
    module = make(strategy, trained=True).eval()
    x = features(batch=8)
    mask = {name: torch.tensor([bool(i >> m & 1) for i in range(8)]) for m, name in enumerate(NAMES)}
    for name in NAMES:
        x[name][mask[name]] = torch.nan
    fused, metadata = module(x, mask=mask)
    assert fused.isfinite().all()
    for i in range(7):
        alone, _ = module({name: x[name][i] for name in NAMES if not mask[name][i]})
        torch.testing.assert_close(fused[i : i + 1], alone, atol=1e-5, rtol=1e-5)
    assert not fused[7].any()
    total = sum(metadata["contributions"].values())
    torch.testing.assert_close(total, torch.tensor([1.0] * 7 + [0.0]))
    for name in NAMES:
        assert not metadata["contributions"][name][mask[name]].any()
        assert (metadata["contributions"][name] >= 0).all()


@each
def test_all_qualities_zero_give_zeros_and_finite_gradients(strategy: Strategy) -> None:
    module = make(strategy, trained=True).train()
    x = {name: value.requires_grad_() for name, value in features().items()}
    fused, metadata = module(x, quality=dict.fromkeys(NAMES, 0.0))
    assert not fused.any()
    assert not any(share.any() for share in metadata["contributions"].values())
    fused.sum().backward()
    assert all(value.grad is None or not value.grad.any() for value in x.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@each
def test_nan_in_what_is_absent_leaks_into_no_gradient(strategy: Strategy) -> None:
    module = make(strategy, trained=True)
    x = features()
    gone = torch.tensor([True, False, True, False, False])
    x["image"][gone] = torch.nan
    x = {name: value.requires_grad_() for name, value in x.items()}
    fused, _ = module(x, mask={"image": gone})
    fused.square().sum().backward()
    for value in x.values():
        assert value.grad is not None
        assert value.grad.isfinite().all()
    assert not x["image"].grad[gone].any()  # type: ignore[index]
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@each
def test_a_low_quality_weighs_continuously(strategy: Strategy) -> None:
    """The residual must not jump where a quality reaches 0 or 1."""
    module = make(strategy, trained=True).eval()
    x = features()
    at = lambda q: module(x, quality={"text": q})[0]  # noqa: E731
    for edge, near in ((0.0, 1e-30), (1.0, 1 - 1e-6)):
        torch.testing.assert_close(at(edge), at(near), atol=1e-3, rtol=1e-3)


@each
def test_the_absent_vectors_are_learned(strategy: Strategy) -> None:
    """An absence that carries meaning (text is missing whenever the target is +1) can be told from the fused vector."""
    torch.manual_seed(0)
    module = make(strategy)
    x = features(batch=64)
    gone = torch.arange(64) % 2 == 0
    target = gone.float() * 2 - 1
    absent = [p for name, p in module.named_parameters() if name.endswith("stand_in.absent")]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(150):
        fused, _ = module(x, mask={"text": gone})
        loss = (fused.mean(1) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    module.eval()
    with torch.no_grad():
        taught = module(x, mask={"text": gone})[0]
        for parameter in absent:
            assert parameter[NAMES.index("text")].any()
            parameter.zero_()
        forgot = module(x, mask={"text": gone})[0]
    assert not torch.allclose(taught[gone], forgot[gone], atol=1e-3)
    torch.testing.assert_close(taught[~gone], forgot[~gone])


@each
def test_modality_dropout_never_takes_all(strategy: Strategy) -> None:
    torch.manual_seed(0)
    module = make(strategy, modality_dropout=0.9)
    x = {name: value.expand(400, H) for name, value in features(batch=1).items()}
    mask = {"text": torch.arange(400) < 200}
    present = torch.stack(list(module(x, mask=mask)[1]["present"].values()), 1)
    counts = present.sum(1)
    assert counts.min() == 1
    assert counts.float().mean() < 2
    assert not present[:200, NAMES.index("text")].any()
    assert present[200:].float().mean(0).min() > 0.2  # each is the last one sometimes
    module.eval()
    assert torch.stack(list(module(x)[1]["present"].values())).all()


@each
def test_tokens_are_pooled_and_padding_ignored(strategy: Strategy) -> None:
    module = make(strategy).eval()
    x = features()
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randn(B, 6, H, generator=generator)
    padding = torch.arange(6) >= torch.tensor([6, 4, 1, 3, 0])[:, None]  # the last sample has no token at all
    spoiled = tokens.masked_fill(padding[..., None], torch.nan)
    fused, metadata = module({**x, "text": spoiled}, padding={"text": padding})
    pooled = torch.stack(
        [t[~p].mean(0) if not p.all() else torch.zeros(H) for t, p in zip(tokens, padding, strict=True)]
    )
    mask = {"text": padding.all(1)}
    torch.testing.assert_close(fused, module({**x, "text": pooled}, mask=mask)[0], atol=1e-6, rtol=1e-5)
    assert metadata["present"]["text"].tolist() == [True] * 4 + [False]
    trained = make(strategy, trained=True).eval()
    long, _ = trained({**x, "text": spoiled}, padding={"text": padding})
    longer = torch.cat([spoiled, torch.full((B, 3, H), torch.inf)], 1)
    wider = torch.cat([padding, torch.ones(B, 3, dtype=torch.bool)], 1)
    torch.testing.assert_close(trained({**x, "text": longer}, padding={"text": wider})[0], long, atol=1e-5, rtol=1e-5)


@each
def test_contributions_follow_what_the_module_really_uses(strategy: Strategy) -> None:
    """The effects are the movement of the module's own residual, found here by leaving the keys out one by one."""
    module = make(strategy, trained=True).eval()
    x, q = features(), qualities()
    _, whole = module(x, quality=q)
    without = [module({k: v for k, v in x.items() if k != name}, quality=q)[1] for name in NAMES]
    moved = torch.stack([(whole["residual"] - rest["residual"]).norm(dim=1) for rest in without], 1)
    shifted = torch.stack([(whole["mean"] - rest["mean"]).norm(dim=1) for rest in without], 1)
    effects = moved / moved.sum(1, keepdim=True)
    r = moved.sum(1) / (moved.sum(1) + shifted.sum(1))
    torch.testing.assert_close(whole["residual_share"], r, atol=1e-4, rtol=1e-4)
    total = sum(q.values())
    for m, name in enumerate(NAMES):
        torch.testing.assert_close(whole["effects"][name], effects[:, m], atol=1e-4, rtol=1e-4)
        mixed = (1 - r) * q[name] / total + r * effects[:, m]
        torch.testing.assert_close(whole["contributions"][name], mixed, atol=1e-4, rtol=1e-4)


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(strategy: Strategy, dtype: torch.dtype) -> None:
    reference = make(strategy, trained=True).eval()
    x, q = features(), qualities()
    expected, _ = reference(x, quality=q)
    module = make(strategy, trained=True).eval().to(dtype)
    fused, metadata = module({name: value.to(dtype) for name, value in x.items()}, quality=q)
    assert fused.dtype == dtype
    assert sum(metadata["contributions"].values()).sum().item() == pytest.approx(B, rel=1e-3)
    scale = expected.abs().max().item()
    tolerance = {torch.bfloat16: 0.08, torch.float16: 0.02, torch.float64: 1e-5}[dtype]
    assert (fused.float() - expected).abs().max().item() < tolerance * scale
    fused.float().square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@each
def test_autocast_and_inference_mode(strategy: Strategy) -> None:
    module = make(strategy, trained=True).eval()
    x, q = features(), qualities()
    expected, _ = module(x, quality=q)
    with torch.inference_mode():
        torch.testing.assert_close(module(x, quality=q)[0], expected, atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        fused, _ = module(x, quality=q)
        fused.square().sum().backward()
    assert (fused.float() - expected).abs().max() < 0.08 * expected.abs().max()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@each
def test_gradients_are_right(strategy: Strategy) -> None:
    module = make(strategy, trained=True).double()
    x = [value.double()[:2].requires_grad_() for value in features().values()]
    gone = torch.tensor([True, False])

    def fuse(*rows: Tensor) -> Tensor:
        fused: Tensor = module(dict(zip(NAMES, rows, strict=True)), mask={"audio": gone}, quality={"text": 0.4})[0]
        return fused

    assert torch.autograd.gradcheck(fuse, x, atol=1e-4, rtol=1e-3)


@each
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"features": {}}, "at least one of audio, image, text"),
        ({"features": {"texts": torch.zeros(2, H)}}, "did you mean 'text'"),
        ({"features": {"text": torch.zeros(2, H + 1)}}, f"{H + 1} numbers in a row, expected {H}"),
        ({"features": {"text": torch.zeros(2, 1, 1, H)}}, "expected (B, D), (B, T, D) or (D,)"),
        ({"features": {"text": torch.zeros(2, H, dtype=torch.int64)}}, "expected a floating-point tensor"),
        ({"features": {"text": torch.zeros(2, H), "audio": torch.zeros(3, H)}}, "features['audio'] has 3"),
        ({"mask": {"text": torch.zeros(B)}}, "expected bool"),
        ({"mask": {"text": torch.zeros(B + 1, dtype=torch.bool)}}, f"expected ({B},)"),
        ({"quality": {"text": torch.full((B,), 1.5)}}, "outside [0, 1]"),
        ({"quality": {"text": torch.nan}}, "outside [0, 1]"),
        ({"quality": {"sound": 1.0}}, "quality has 'sound'"),
        ({"padding": {"text": torch.zeros(B, 3, dtype=torch.bool)}}, "has no tokens"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(strategy: Strategy, call: dict[str, Any], said: str) -> None:
    module = make(strategy)
    with pytest.raises(InputError) as error:
        module(**{"features": features(), **call})
    assert said in str(error.value)


@each
def test_wrong_options_are_refused_by_name(strategy: Strategy) -> None:
    for dims, options, said in (
        ({}, {}, "modality_dims"),
        ({"text": 0}, {}, "modality_dims['text'] is 0"),
        ({"a.b": 4, "keys": 4}, {"hidden_dim": -1}, "'keys'"),
        ({"text": 4}, {"modality_dropout": 1.0}, "modality_dropout is 1.0"),
        ({"text": 4}, {"dropout": -0.1}, "dropout is -0.1"),
    ):
        with pytest.raises(ConfigError) as error:
            strategy(dims, **options)
        assert said in str(error.value)


@each
def test_a_state_dict_brings_back_every_bit(strategy: Strategy) -> None:
    module, other = make(strategy, trained=True).eval(), make(strategy).eval()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(features())[0], module(features())[0])
    assert isinstance(other, nn.Module)


@each
def test_one_modality_alone_and_one_vector_alone(strategy: Strategy) -> None:
    module = strategy({"text": H}, H).eval()
    x = features()["text"]
    torch.testing.assert_close(module({"text": x})[0], x)
    torch.testing.assert_close(module({"text": x[0]}, quality={"text": 0.2})[0], x[:1])


@each
def test_an_empty_batch_gives_an_empty_result(strategy: Strategy) -> None:
    fused, metadata = strategy({"text": 8, "image": 20}, 16).eval()({"text": torch.zeros(0, 8)})
    assert fused.shape == (0, 16)
    assert metadata["contributions"]["text"].shape == (0,)
