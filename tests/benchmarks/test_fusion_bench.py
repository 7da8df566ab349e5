"""A wrong estimator or a leaky task would make every figure of `sensorium bench fusion` a lie."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from benchmarks.material import speech as fusion_speech
from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure
from benchmarks.trials import judge as fusion_judge
from benchmarks.trials import runs as fusion_trials
from benchmarks.trials import tasks as fusion_tasks
from benchmarks.trials.information import decompose, estimate
from benchmarks.trials.training import (
    STRATEGIES,
    Concatenated,
    Fused,
    accuracy,
    fit_gate,
    fitted,
    held_loss,
    size,
    train,
)


def gate(rule):
    """p(a, b, rule(a, b)) of two fair, independent bits."""
    joint = np.zeros((2, 2, 2))
    for a in range(2):
        for b in range(2):
            joint[a, b, rule(a, b)] += 0.25
    return joint


COPY = np.zeros((2, 2, 2))
COPY[0, 0, 0] = COPY[1, 1, 1] = 0.5
AND_REDUNDANCY = 2 - 0.75 * math.log2(3) - 0.5  # 0.311: I(A; Y) of AND, all of it shared


@pytest.mark.parametrize(
    ("joint", "parts"),
    [
        (COPY, (1, 0, 0, 0)),
        (gate(lambda a, b: a), (0, 1, 0, 0)),
        (gate(lambda a, b: b), (0, 0, 1, 0)),
        (gate(lambda a, b: a ^ b), (0, 0, 0, 1)),
        (gate(lambda a, b: a & b), (AND_REDUNDANCY, 0, 0, 0.5)),
        (gate(lambda a, b: a | b), (AND_REDUNDANCY, 0, 0, 0.5)),
    ],
)
def test_information_is_taken_apart_as_the_literature_has_it(joint, parts):
    assert abs(AND_REDUNDANCY - 0.3113) < 1e-4
    assert decompose(joint) == pytest.approx(parts, abs=1e-5)


def test_the_convex_program_agrees_with_a_general_solver():
    joint = np.random.default_rng(3).dirichlet(np.ones(12)).reshape(2, 3, 2)

    def information(q):
        q = q.reshape(joint.shape)
        both = q.sum(2, keepdims=True)
        return float((q * np.log2(np.maximum(q, 1e-15) / np.maximum(both * q.sum((0, 1)), 1e-15))).sum())

    kept = [  # the last of each second marginal follows from the rest
        {"type": "eq", "fun": lambda q: (q.reshape(joint.shape) - joint).sum(1).ravel()},
        {"type": "eq", "fun": lambda q: (q.reshape(joint.shape) - joint).sum(0)[:-1].ravel()},
    ]
    start = (joint.sum(1)[:, None] * joint.sum(0)[None] / joint.sum((0, 1))).ravel()
    found = minimize(information, start, bounds=[(0, 1)] * 12, constraints=kept, options={"ftol": 1e-12, "maxiter": 500})
    assert information(joint.ravel()) - decompose(joint).synergy == pytest.approx(found.fun, abs=1e-4)


def test_what_is_no_distribution_is_refused():
    for wrong in (np.ones((2, 2, 2)), np.ones((2, 2)) / 4, COPY - 0.1):
        with pytest.raises(ValueError, match="sums to 1"):
            decompose(wrong)


@pytest.mark.parametrize("kind", fusion_tasks.KINDS)
def test_the_estimate_from_features_finds_what_was_put_in(kind, monkeypatch):
    monkeypatch.setattr(fusion_tasks, "SIZES", {"train": 600, "held": 10, "test": 10})
    task, joint = fusion_tasks.known(kind, seed=1)
    found = estimate(task.train.features["left"].numpy(), task.train.features["right"].numpy(),
                     task.train.labels.numpy(), cells=2)  # fmt: skip
    assert found == pytest.approx(decompose(joint), abs=0.1)


def test_a_seed_draws_the_same_task_again_and_another_seed_another():
    def first(seed):
        return fusion_tasks.halves(seed).train.features["left"]

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_the_halves_share_no_picture_between_the_parts_and_are_whole_together():
    task = fusion_tasks.halves(0)
    rows = [torch.cat([part.features["left"], part.features["right"]], 1) for part in (task.train, task.held, task.test)]
    assert sum(map(len, rows)) == 1797
    assert rows[0].shape[1] == 64
    train, test = ({tuple(row.tolist()) for row in part} for part in (rows[0], rows[2]))
    assert not train & test


def test_alone_neither_modality_says_a_thing_about_the_signs():
    task = fusion_tasks.signs(0)
    for x in task.train.features.values():
        means = [x[task.train.labels == label].sign().mean(0) for label in (0, 1)]
        assert float((means[0] - means[1]).abs().max()) < 0.15


def test_no_voice_is_in_two_parts():
    parts = fusion_speech.VOICES
    for a, b in (("train", "held"), ("train", "test"), ("held", "test")):
        assert not set(parts[a].accents) & set(parts[b].accents)
        assert not set(parts[a].variants) & set(parts[b].variants)


def test_without_a_synthesiser_it_is_said_what_installs_one(monkeypatch, tmp_path):
    monkeypatch.setenv("SENSORIUM_MATERIAL", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MaterialError, match="apt-get install espeak-ng"):
        fusion_speech.spoken("test")


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_the_control_has_the_size_of_the_strategy(strategy):
    dims = {"left": 16, "right": 16}
    model = Fused(strategy, dims, 2)
    assert size(Concatenated(dims, 2, size(model))) == pytest.approx(size(model), rel=0.05)


def test_training_is_a_function_of_the_seed_and_learns():
    task = fusion_tasks.known("mixture", 0)[0]

    def trained():
        torch.manual_seed(0)
        return train(Fused("early", task.dims, 2), task, 0, steps=20)

    one, two = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert accuracy(one, task.test) > 90


def test_adaptive_is_judged_seed_by_seed():
    means = {"early": 80.0, "late": 70.0, "hierarchical": 70.0, "bilinear": 70.0}
    values = {
        seed: {name: base + seed for name, base in means.items()}
        | {f"mlp:{name}": 75.0 for name in STRATEGIES} | {f"only:{side}": 60.0 for side in ("left", "right")}
        for seed in range(3)
    }
    for seed, row in values.items():
        row["adaptive"] = 79.9 + seed + 0.3 * (seed % 2)  # differences -0.1, 0.2, -0.1
        row |= {f"{name}/size": 1.0 for name in [*STRATEGIES, *(f"mlp:{s}" for s in STRATEGIES)]}
    figure = fusion_judge.figures_of("signs", values)[-1]
    assert "early" in figure.name
    assert figure.value == pytest.approx(0.0, abs=1e-9)
    assert figure.goal == pytest.approx(-0.173, abs=1e-3)
    assert figure.reached


def test_a_task_that_cannot_be_measured_says_so_and_fails_nothing(capsys, monkeypatch):
    from benchmarks import fusion

    def absent(_seed, _device):
        raise MaterialError("apt-get install espeak-ng")

    monkeypatch.setitem(fusion_trials.TRIALS, "audio-visual", absent)
    assert fusion.run(True, names=["audio-visual"], seeds=[10]) == 0
    (figure,) = json.loads(capsys.readouterr().out)["figures"]
    assert figure["value"] is None
    assert "apt-get install espeak-ng" in figure["note"]


def test_noise_is_left_out_and_then_it_is_as_if_it_had_never_been_there():
    task = fusion_tasks.with_noise(fusion_tasks.halves(0), "right", 0)
    model = fitted("early", task, 0, steps=60, modality_dropout=0.5)
    assert model.names == ("left",)
    alone = fitted("early", task.only("left"), 0, steps=60, modality_dropout=0.5)
    assert accuracy(model, task.test) == accuracy(alone, task.test) > 50
    both = fitted("early", fusion_tasks.halves(0), 0, steps=60, modality_dropout=0.5)
    assert both.names == ("left", "right")


def test_the_held_part_takes_the_gate_away_from_an_expert_that_is_wrong():
    task = fusion_tasks.halves(0)
    torch.manual_seed(0)
    model = train(Fused("adaptive", task.dims, 10), task, 0, steps=30)
    core = model.strategy.core
    with torch.no_grad():
        core.experts["early"].out.weight.mul_(-1)
        core.gate.bias[0] = 3
    before = held_loss(model, task), accuracy(model, task.test)
    fit_gate(model, task.held)
    assert held_loss(model, task) < before[0]
    assert accuracy(model, task.test) > before[1] + 5
    assert core.gate.bias.argmax() != 0


def test_the_tables_have_a_row_a_task_and_a_row_a_goal():
    from benchmarks.trials.markdown import accuracies, goals

    row = dict.fromkeys(STRATEGIES, 90.0) | {f"mlp:{name}": 75.0 for name in STRATEGIES}
    row |= {"only:left": 60.0, "only:right": 70.0}
    lines = accuracies({"signs": {10: row, 11: row | {"late": 50.0}}, "imbalance": {10: {"plain": 1.0}}})
    assert len(lines) == 3
    assert lines[2].split(" | ")[2] == "70.0 ± 28.3"
    assert lines[2].endswith("| 70.0 ± 0.0 | 75.0-75.0 |")
    (_, _, goal) = goals([Figure("speed", 2.0, "ms", 1.0, most=True), Figure("other", 1.0, "ms")])
    assert goal == "| speed | 2.00 ms | ≤ 1.00 | **no** |  |"
