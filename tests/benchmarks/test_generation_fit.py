"""The training of the generators: if these fail, a run that was stopped is lost, or learns what it must not see."""

import numpy as np
import pytest
import torch

from benchmarks.fitting.generators import Material, Part, Training, draw, keep, rate
from benchmarks.generation import goal, ranks
from benchmarks.material.emoji import split_captions
from multimodal.generation import flow
from multimodal.generation.net import CONDITION, PointNet


@pytest.fixture
def material():
    torch.manual_seed(0)
    return Material(torch.randn(12, 4), torch.randn(12, 3, CONDITION), torch.randn(12, CONDITION))


def part(material, steps):
    torch.manual_seed(1)
    network, average = (PointNet(coordinates=4, width=16, hidden=16, blocks=1, embedding=8) for _ in range(2))
    average.load_state_dict(network.state_dict())

    def loss(generator):
        rows, condition = draw(material, generator)
        return flow.loss(network, material.samples[rows], condition, generator=generator).mean()

    return Part("test", network, average, loss, steps)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(material, tmp_path):
    whole = part(material, 60)
    Training(whole, 5).run(tmp_path / "whole.checkpoint")

    first = Training(part(material, 60), 5)
    for _ in range(25):
        first.step()
    keep(tmp_path / "half.checkpoint", first.state())
    rest = part(material, 60)
    second = Training(rest, 99)
    second.restore(torch.load(tmp_path / "half.checkpoint", weights_only=True))
    second.run(tmp_path / "half.checkpoint")
    for name, values in whole.average.state_dict().items():
        assert torch.equal(values, rest.average.state_dict()[name]), name


def test_it_learns(material, tmp_path):
    learning = part(material, 400)
    training = Training(learning, 5)
    losses = [training.step() for _ in range(400)]
    assert np.mean(losses[-50:]) < 0.7 * np.mean(losses[:50])


def test_the_rate_rises_stays_and_falls():
    rates = [rate(done, 3000) for done in range(3000)]
    assert rates[0] < 0.02 * max(rates)
    assert rates[500] == rates[1900] == max(rates)
    assert rates[-1] < 0.02 * max(rates)


def test_no_caption_is_on_both_sides_and_the_order_does_not_matter():
    names = [f"thing {i}" for i in range(200)]
    seen, held = split_captions(names)
    assert not seen & held
    assert seen | held == set(names)
    assert len(held) == 20
    assert split_captions(reversed(names)) == (seen, held)


def test_places_are_those_that_sorting_gives():
    torch.manual_seed(0)
    vectors, texts, own = torch.randn(7, 5), torch.randn(9, 5), [3, 0, 8, 1, 1, 4, 6]
    v, t = vectors - vectors.mean(0), texts - texts.mean(0)
    for i, place in enumerate(ranks(vectors, texts, own).tolist()):
        cosines = [float(torch.cosine_similarity(v[i], row, dim=0)) for row in t]
        assert sorted(cosines, reverse=True).index(cosines[own[i]]) + 1 == place


def test_blind_guesses_miss_the_goal():
    guesses = np.random.default_rng(0).integers(1, 119, (1000, 118)).mean(1)
    assert (guesses <= goal(118, 118)).mean() < 0.005
