"""Gradient modulation: the weaker modality gets its turn, and nothing but the leader's encoder is touched."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from multimodal.errors import ConfigError, InputError
from multimodal.fusion.modulation import GradientModulation


def encoders() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {"audio": nn.Linear(4, 3), "image": nn.Linear(4, 3), "text": nn.Linear(4, 3)}
    for encoder in made.values():
        encoder(torch.randn(8, 4)).square().sum().backward()
    return made


def logits_of(probability: float, labels: torch.Tensor, classes: int = 2) -> torch.Tensor:
    """Logits whose softmax gives the label exactly that probability."""
    p = torch.full((len(labels), classes), (1 - probability) / (classes - 1))
    return p.scatter(1, labels[:, None], probability).log()


def test_the_formula_written_out() -> None:
    made, labels = encoders(), torch.tensor([0, 1, 1, 0])
    before = {name: encoder.weight.grad.clone() for name, encoder in made.items()}  # type: ignore[union-attr, operator]
    logits = {name: logits_of(p, labels) for name, p in (("audio", 0.9), ("image", 0.6), ("text", 0.5))}
    scales = GradientModulation(made, alpha=0.5, enhance=False)(logits, labels)
    assert scales == pytest.approx({"audio": 1 - math.tanh(0.5 * (0.9 / 0.55 - 1)), "image": 1.0, "text": 1.0}, rel=1e-5)
    for name, encoder in made.items():
        torch.testing.assert_close(encoder.weight.grad, scales[name] * before[name])


def test_noise_keeps_the_size_of_the_step() -> None:
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {"a": nn.Linear(200, 100, bias=False), "b": nn.Linear(2, 2)}
    gradient = torch.randn(100, 200)
    made["a"].weight.grad = gradient.clone()
    labels = torch.tensor([0, 1])
    modulate = GradientModulation(made, alpha=0.8, generator=torch.Generator().manual_seed(1))
    scale = modulate({"a": logits_of(0.9, labels), "b": logits_of(0.5, labels)}, labels)["a"]
    after = made["a"].weight.grad
    assert after.std().item() == pytest.approx(gradient.std().item(), rel=0.02)
    assert ((after * gradient).sum() / gradient.square().sum()).item() == pytest.approx(scale, abs=0.02)


def test_absent_samples_say_nothing() -> None:
    made, labels = encoders(), torch.tensor([0, 1, 1, 0])
    even = {name: logits_of(0.6, labels) for name in made}
    even["audio"][:2] = logits_of(0.99, labels[:2])
    modulate = GradientModulation(made)
    gone = torch.tensor([True, True, False, False])
    assert modulate(even, labels, mask={"audio": gone})["audio"] == 1.0
    assert modulate(even, labels, mask={"audio": torch.ones(4, dtype=torch.bool)}) == dict.fromkeys(made, 1.0)
    assert modulate(even, labels)["audio"] < 1


def test_the_weaker_encoder_learns_more_with_it() -> None:
    """Two encoders under one sum of logits: the strong one explains the labels first and starves the other."""

    def probe(balance: bool) -> float:
        torch.manual_seed(0)
        labels = torch.randint(0, 2, (256,))
        sign = labels.float() * 2 - 1
        strong, weak = torch.randn(256, 8), torch.randn(256, 8)
        strong[:, 0] += 4 * sign
        weak[:, 0] += sign
        made: dict[str, nn.Module] = {"strong": nn.Linear(8, 2), "weak": nn.Linear(8, 2)}
        for encoder in made.values():
            nn.init.zeros_(encoder.weight)
        modulate = GradientModulation(made, alpha=2, enhance=False)
        optimizer = torch.optim.SGD([p for encoder in made.values() for p in encoder.parameters()], lr=0.05)
        for _ in range(30):
            logits = {"strong": made["strong"](strong), "weak": made["weak"](weak)}
            optimizer.zero_grad()
            functional.cross_entropy(logits["strong"] + logits["weak"], labels).backward()
            if balance:
                modulate(logits, labels)
            optimizer.step()
        weight = made["weak"].get_parameter("weight")
        difference = weight[1] - weight[0]
        return float(difference[0].detach())  # along the one direction that tells the classes apart

    assert probe(balance=True) > 1.3 * probe(balance=False)


def test_what_is_wrong_is_refused() -> None:
    made, labels = encoders(), torch.tensor([0, 1])
    with pytest.raises(ConfigError, match="two or more"):
        GradientModulation({"audio": made["audio"]})
    with pytest.raises(ConfigError, match="'weight' belongs to 'audio' and 'image'"):
        GradientModulation({"audio": made["audio"], "image": made["audio"]})
    with pytest.raises(ConfigError, match="alpha is 0"):
        GradientModulation(made, alpha=0)
    with pytest.raises(InputError, match="lacks text"):
        GradientModulation(made)({name: logits_of(0.5, labels) for name in ("audio", "image")}, labels)
    with pytest.raises(InputError, match=r"expected \(2, classes\)"):
        GradientModulation(made)(dict.fromkeys(made, torch.zeros(3, 2)), labels)
