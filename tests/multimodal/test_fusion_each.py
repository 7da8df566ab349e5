"""What each of the five is for: products for Bilinear, decisions for Late, tokens for Hierarchical, a gate for Adaptive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.errors import ConfigError, InputError
from multimodal.fusion import (
    STRATEGIES,
    AdaptiveFusion,
    BilinearFusion,
    HierarchicalFusion,
    LateFusion,
    leave_one_out,
    rank_agreement,
)
from multimodal.fusion.temperature import fit_temperature

each = pytest.mark.parametrize("strategy", STRATEGIES)
Features = dict[str, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def stirred(module: nn.Module, size: float = 0.3) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module


def train(module: Any, head: nn.Module, x: Features, y: Tensor, *, steps: int, rate: float = 1e-2) -> None:
    parameters = [*module.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-2)
    module.train()
    for _ in range(steps):
        rows = torch.randint(0, len(y), (128,))
        loss = functional.cross_entropy(head(module({k: v[rows] for k, v in x.items()})[0]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()


# Bilinear


def test_the_low_rank_product_is_the_full_tensor_contracted() -> None:
    module = BilinearFusion({"a": 5, "b": 5, "c": 5}, 5, rank=3).double().eval()
    stirred(module)
    x = {name: torch.randn(4, 5, dtype=torch.float64) for name in "abc"}
    _, metadata = module(x)
    rows = module.core.embed(torch.stack(list(x.values()), 1), torch.ones(4, 3, dtype=torch.float64))
    a, b, c = torch.cat([rows, torch.ones(4, 3, 1)], 2).unbind(1)
    tensor = module.full_tensor()
    assert tensor.shape == (6, 6, 6, 5)
    expected = torch.einsum("ijko,bi,bj,bk->bo", tensor, a, b, c)
    torch.testing.assert_close(metadata["residual"], expected, atol=1e-5, rtol=1e-5)
    for name in ("core.factors", "core.ones", "core.weights"):
        assert module.get_parameter(name).requires_grad


def xor(samples: int, width: int = 16) -> tuple[Features, Tensor]:
    x = {name: torch.randn(samples, width) for name in "ab"}
    return x, ((x["a"][:, 0] > 0) ^ (x["b"][:, 0] > 0)).long()


def test_bilinear_learns_xor_with_a_linear_head_and_a_sum_cannot() -> None:
    (x, y), (held, wanted) = xor(3000), xor(1000)
    found = {}
    for strategy in (BilinearFusion, LateFusion):
        module, head = strategy({"a": 16, "b": 16}, 16), nn.Linear(16, 2)
        train(module, head, x, y, steps=300)
        found[strategy] = (head(module(held)[0]).argmax(1) == wanted).float().mean().item()
    assert found[BilinearFusion] >= 0.94
    assert found[LateFusion] <= 0.55


# Late


def decisions(seed: int, samples: int) -> tuple[Features, Tensor]:
    """Three views of three classes that overlap, so that nobody can be sure."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (samples,), generator=generator)
    return {n: functional.one_hot(y, 8) + torch.randn(samples, 8, generator=generator) for n in "abc"}, y


@torch.no_grad()
def calibration_error(log_probabilities: Tensor, labels: Tensor) -> float:
    """Expected calibration error over ten bins of confidence, written out."""
    confidence, said = log_probabilities.exp().max(1)
    right, error = (said == labels).double(), 0.0
    for low in torch.arange(0, 1, 0.1):
        rows = (confidence > low) & (confidence <= low + 0.1)
        if rows.any():
            error += float(rows.double().mean() * (right[rows].mean() - confidence[rows].double().mean()).abs())
    return error


def test_late_decides_and_is_calibrated_with_any_modality_missing() -> None:
    x, y = decisions(1, 150)
    module = LateFusion(dict.fromkeys("abc", 8), 8, num_classes=3, modality_dropout=0.2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(150):  # far too long for so few samples: it ends far too sure
        told = module(x)[1]["log_probabilities"]
        loss = sum(functional.nll_loss(rows, y) for rows in told.values())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    module.eval()
    (held, wanted), (test, truth) = decisions(2, 5000), decisions(3, 5000)
    everyone = torch.ones(5000, dtype=torch.bool)
    cases: list[dict[str, Tensor]] = [{}, {"a": everyone}, {"a": everyone, "c": everyone}]
    before = [module(test, mask=mask)[1]["log_probabilities"]["fused"] for mask in cases]
    fitted = module.fit_temperature(held, wanted)
    assert set(fitted) == {"a", "b", "c", "2 present", "3 present"}
    assert fitted["a"] > 1.5
    for mask, rows in zip(cases, before, strict=True):
        after = module(test, mask=mask)[1]["log_probabilities"]["fused"]
        assert calibration_error(after, truth) < 0.05
        assert calibration_error(after, truth) < 0.5 * calibration_error(rows, truth)
    alone = module(test, mask={"a": everyone, "c": everyone})[1]["log_probabilities"]
    torch.testing.assert_close(alone["fused"], alone["b"])
    torch.testing.assert_close(alone["a"], torch.full((5000, 3), -math.log(3)))
    assert not module.training


def test_late_says_what_it_is_and_adds_weighted_log_probabilities() -> None:
    module = stirred(LateFusion(dict.fromkeys("ab", 4), 4, num_classes=3)).eval()
    x, q = {n: torch.randn(5, 4) for n in "ab"}, {"a": torch.rand(5), "b": torch.rand(5)}
    _, metadata = module(x, quality=q)
    told, weights = metadata["log_probabilities"], metadata["weights"]
    assert metadata["level"] == "decisions"
    expected = weights["a"][:, None] * told["a"] + weights["b"][:, None] * told["b"]
    torch.testing.assert_close(told["fused"], functional.log_softmax(expected, 1))
    ratio = q["a"] / q["b"] * (module.core.logit[0] - module.core.logit[1]).exp()
    torch.testing.assert_close(weights["a"] / weights["b"], ratio)
    plain = LateFusion({"a": 4}, 4)
    _, metadata = plain({"a": torch.randn(2, 4)})
    assert metadata["level"] == "features"
    assert "log_probabilities" not in metadata
    with pytest.raises(ConfigError, match="num_classes"):
        plain.fit_temperature({"a": torch.randn(2, 4)}, torch.tensor([0, 1]))
    with pytest.raises(ConfigError, match="'fused'"):
        LateFusion({"fused": 4}, 4, num_classes=2)
    with pytest.raises(InputError, match="labels are"):
        module.fit_temperature(x, torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_a_temperature_that_was_put_in_is_found_again(true: float) -> None:
    logits = 3 * torch.randn(20000, 5)
    labels = torch.distributions.Categorical(logits=logits / true).sample()
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.06)
    assert fit_temperature(logits.float() + 100, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-3)


def test_a_temperature_of_the_extremes_is_finite() -> None:
    right = 5 * torch.eye(4)
    assert fit_temperature(right, torch.arange(4)) == pytest.approx(0.01, rel=1e-3)
    assert fit_temperature(-right, torch.arange(4)) == pytest.approx(100, rel=1e-3)
    assert fit_temperature(torch.zeros(4, 4), torch.arange(4)) == 1
    with pytest.raises(InputError, match="do not fit"):
        fit_temperature(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


# Hierarchical


def test_hierarchical_finds_the_token_that_matters_where_a_mean_loses_it() -> None:
    """One of twelve tokens is marked and carries the sign; the others carry signs of their own."""

    def data(samples: int) -> tuple[Features, Tensor]:
        tokens, y = torch.randn(samples, 12, 8), torch.randint(0, 2, (samples,))
        place = torch.randint(0, 12, (samples,))
        tokens[torch.arange(samples), place, 0] = 4  # the mark
        tokens[torch.arange(samples), place, 1] = (2 * y - 1) * 1.5
        return {"a": torch.randn(samples, 8), "b": tokens}, y

    (x, y), (held, wanted) = data(1500), data(800)
    module, head = HierarchicalFusion({"a": 8, "b": 8}, 16, num_heads=2), nn.Linear(16, 2)
    train(module, head, x, y, steps=200)
    fused, metadata = module(held)
    assert (head(fused).argmax(1) == wanted).float().mean() > 0.9
    looked = metadata["token_attention"]["b"]
    torch.testing.assert_close(looked.sum(1), torch.ones(800))
    marked = held["b"][..., 0].argmax(1)
    assert looked.gather(1, marked[:, None]).mean() > 2 / 12


def test_hierarchical_routing_is_masked_and_sums_to_one() -> None:
    module = stirred(HierarchicalFusion(dict.fromkeys("abc", 8), 8)).eval()
    x = {n: torch.randn(3, 8) for n in "abc"}
    quality = {"a": torch.tensor([1.0, 1.0, 0.5]), "b": torch.tensor([1.0, 0.0, 1.0])}
    routing = module(x, quality=quality)[1]["routing"]
    assert list(routing) == ["a", "a|b", "a|c", "b", "b|c", "c", "absent:a", "absent:b", "absent:c"]
    torch.testing.assert_close(sum(routing.values()), torch.ones(3))
    for name in ("a|b", "b", "b|c"):
        assert routing[name].tolist()[1] == 0
        assert routing[name][0] > 0
    assert (routing["absent:b"] > 0).tolist() == [False, True, False]
    assert (routing["absent:a"] > 0).tolist() == [False, False, True]
    with pytest.raises(ConfigError, match="num_heads is 3, expected a divisor of hidden_dim 8"):
        HierarchicalFusion({"a": 8}, 8, num_heads=3)


# Adaptive


def test_gates_are_a_softmax_over_the_experts_that_apply() -> None:
    module = stirred(AdaptiveFusion(dict.fromkeys("ab", 8), 8)).eval()
    x = {n: torch.randn(4, 8) for n in "ab"}
    mask = {"b": torch.tensor([False, True, False, True])}
    _, metadata = module(x, mask=mask)
    gates = metadata["gates"]
    assert list(gates) == ["early", "late", "hierarchical", "bilinear"]
    torch.testing.assert_close(sum(gates.values()), torch.ones(4))
    assert (gates["bilinear"] > 0).tolist() == [True, False, True, False]
    rows = torch.stack(list(gates.values()), 1).double()
    entropy = -(rows * rows.clamp_min(1e-30).log()).sum(1)
    torch.testing.assert_close(metadata["entropy"].double(), entropy, atol=1e-5, rtol=1e-5)
    said = [expert(torch.stack(list(x.values()), 1), torch.ones(4, 2))[0] for expert in module.core.experts.values()]
    expected = sum(gate[:, None] * rows for gate, rows in zip(gates.values(), said, strict=True))
    torch.testing.assert_close(metadata["residual"][::2], expected[::2], atol=1e-5, rtol=1e-5)


def test_top_k_keeps_k_and_training_tries_them_all() -> None:
    module = stirred(AdaptiveFusion(dict.fromkeys("ab", 8), 8, top_k=2), 0.1)
    x = {n: torch.randn(200, 8) for n in "ab"}
    kept = torch.stack(list(module.eval()(x)[1]["gates"].values()), 1)
    assert ((kept > 0).sum(1) == 2).all()
    torch.testing.assert_close(kept.sum(1), torch.ones(200))
    tried = torch.stack(list(module.train()(x)[1]["gates"].values()), 1)
    assert (tried > 0).float().mean(0).min() > 0.2
    with pytest.raises(ConfigError, match="top_k is 5, expected a whole number from 1 to 4"):
        AdaptiveFusion({"a": 8}, 8, top_k=5)


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_the_gate_learns_which_expert_is_worth_it(top_k: int | None) -> None:
    """Also where one expert alone is chosen, whose gate is then 1 whatever its logit."""
    module = stirred(AdaptiveFusion(dict.fromkeys("ab", 8), 8, top_k=top_k))
    fused, _ = module({n: torch.randn(64, 8) for n in "ab"})
    fused.square().sum().backward()
    assert module.core.gate.weight.grad.abs().sum() > 1e-3


def test_the_load_balance_loss_is_switchs_and_evens_the_load() -> None:
    module = AdaptiveFusion(dict.fromkeys("ab", 8), 8, top_k=1)
    x = {n: torch.randn(256, 8) for n in "ab"}
    with torch.no_grad():
        module.core.gate.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0]))
        module.core.gate.weight.normal_(std=0.1)
    with torch.no_grad():
        _, metadata = module.eval()(x)
    used = torch.stack(list(metadata["gates"].values()), 1).mean(0)  # top 1: gates are 0 or 1, so this is f
    logits = module.core.gate.bias.detach()
    importance = torch.softmax(logits, 0)  # about P: the weights are small
    assert metadata["load_balance_loss"].item() == pytest.approx(4 * float((used * importance).sum()), rel=0.05)
    assert metadata["load_balance_loss"] > 3
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    module.train()
    for _ in range(150):
        loss = module(x)[1]["load_balance_loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(1, abs=0.15)


# Contributions


def graded(samples: int) -> tuple[Features, Tensor]:
    """Four views of four classes, from telling (a) to mere noise (d), which is the loudest."""
    y, x = torch.randint(0, 4, (samples,)), {}
    for name, strength, loudness in (("a", 3, 1), ("b", 2, 1), ("c", 1, 1), ("d", 0, 3)):
        ways = functional.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(ord(name))))
        x[name] = (strength * ways[y] + torch.randn(samples, 16)) * loudness
    return x, y


@each
def test_contributions_rank_the_modalities_as_leaving_them_out_does(strategy: str) -> None:
    """On held-out data of a trained task, against the loss of log-probability of the right answer."""
    (x, y), (held, wanted) = graded(1000), graded(1000)
    module, head = STRATEGIES[strategy](dict.fromkeys("abcd", 16), 32, modality_dropout=0.2), nn.Linear(32, 4)
    train(module, head, x, y, steps=100, rate=5e-3)

    def right(fused: Tensor, _: dict[str, Any]) -> Tensor:
        return functional.log_softmax(head(fused), 1).gather(1, wanted[:, None])[:, 0]

    lost = leave_one_out(module, held, score=right)
    contributions = module(held)[1]["contributions"]
    assert rank_agreement(contributions, lost) >= 0.8
    shares = {name: float(values.mean()) for name, values in contributions.items()}
    assert max(shares, key=shares.__getitem__) == "a"
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def test_leave_one_out_is_what_is_lost() -> None:
    module = stirred(LateFusion(dict.fromkeys("ab", 4), 4)).eval()
    x = {n: torch.randn(3, 4) for n in "ab"}
    gone = {"b": torch.tensor([False, True, False])}
    lost = leave_one_out(module, x, mask=gone)
    whole, _ = module(x, mask=gone)
    for row in (0, 2):
        alone = module({"a": x["a"][row]})[0][0]
        torch.testing.assert_close(lost["b"][row], (whole[row] - alone).norm(), atol=1e-5, rtol=1e-5)
    assert lost["b"][1] == 0
    torch.testing.assert_close(lost["a"][1], whole[1].norm())  # without its last one a sample is zero


def test_rank_agreement_is_spearmans() -> None:
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(4)
    for ties in (False, True):
        one, two = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        if ties:
            one[3], two[1:4] = one[2], 0
        named = [{str(i): values[i : i + 1] for i in range(7)} for values in (one, two)]
        assert rank_agreement(*named) == pytest.approx(spearmanr(one, two).statistic)
    with pytest.raises(InputError, match="same two or more"):
        rank_agreement({"a": one}, {"b": one})
