"""If these fail, a projection that was trained finds less than the turn it started from, or differs from run to run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.measures import recall
from multimodal.embeddings.projection import CrossModalProjection, info_nce
from multimodal.embeddings.space import orthogonal_map
from multimodal.errors import ConfigError, InputError


def pairs(seed: int, rows: int, *, bent: bool) -> tuple[Tensor, Tensor]:
    """(N, 14) and (N, 12) of common causes; `bent`: the second sees them through a layer of half-open gates."""
    dice = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice)

    causes = draw(rows, 8)
    a = F.normalize(causes @ draw(8, 14), dim=1)
    b = F.normalize(((causes @ draw(8, 24)).relu() - 0.4) @ draw(24, 12) if bent else causes @ draw(8, 12), dim=1)
    return a + 0.15 * draw(rows, 14) / 14**0.5, b + 0.15 * draw(rows, 12) / 12**0.5


def found(projection: CrossModalProjection, a: Tensor, b: Tensor) -> float:
    projection.eval()
    with torch.no_grad():
        forth = recall(projection.to_b(a), projection.centred_b(b))["R@1"]
        back = recall(projection.to_a(b), projection.centred_a(a))["R@1"]
    return (forth + back) / 2


def compared(*, bent: bool, seed: int) -> tuple[float, float]:
    """Of pairs that neither has seen: what the plain turn finds, and what training makes of it."""
    a, b = pairs(seed, 700, bent=bent)
    torch.manual_seed(seed)
    projection = CrossModalProjection(14, 12, hidden_dim=64)
    projection.start(a[:500], b[:500])
    plain = found(projection, a[500:], b[500:])
    projection.fit(a[:500], b[:500], epochs=25, learning_rate=5e-3, seed=seed)
    return plain, found(projection, a[500:], b[500:])


@pytest.mark.parametrize("seed", [0, 1])
def test_training_finds_more_where_the_spaces_are_bent(seed):
    plain, trained = compared(bent=True, seed=seed)
    assert trained > plain + 0.05


def test_training_loses_nothing_where_a_turn_is_all_there_is():
    plain, trained = compared(bent=False, seed=2)
    assert trained >= plain


def test_starts_as_the_exact_turn_and_its_way_back():
    """Untrained it is the closed form to the digit: no random layer speaks before it has learned anything."""
    dice = torch.Generator().manual_seed(0)
    a = torch.randn(50, 6, generator=dice)
    b = F.normalize(a, dim=1) @ orthogonal_map(6, 9, seed=3).T
    projection = CrossModalProjection(6, 9, hidden_dim=16)
    projection.start(a, b)
    projection.eval()
    torch.testing.assert_close(projection.to_b(a), projection.centred_b(b), atol=1e-5, rtol=0)
    torch.testing.assert_close(projection.cycle_a(a), projection.centred_a(a), atol=1e-5, rtol=0)
    bare = CrossModalProjection(6, 9, hidden_dim=0)
    bare.start(a, b)
    assert torch.equal(bare.to_a(b), projection.to_a(b))


def test_a_way_there_and_back_stays_near_after_training():
    """Where it counts for nothing in the loss, the two directions drift apart."""
    a, b = pairs(4, 300, bent=True)
    near = []
    for cycle in (0.0, 2.0):
        torch.manual_seed(0)
        projection = CrossModalProjection(14, 12, hidden_dim=32)
        projection.fit(a, b, epochs=25, learning_rate=3e-3, cycle=cycle)
        near.append(float((projection.cycle_a(a) * projection.centred_a(a)).sum(1).mean().detach()))
    assert near[1] > near[0] + 0.01
    assert near[1] > 0.9


def test_what_unrelated_pairs_teach_is_thrown_away():
    dice = torch.Generator().manual_seed(1)
    a, b = torch.randn(200, 6, generator=dice), torch.randn(200, 6, generator=dice)
    torch.manual_seed(0)
    projection = CrossModalProjection(6, 6, hidden_dim=64)
    fit = projection.fit(a, b, epochs=30, learning_rate=1e-2, cycle=0.5, patience=5)
    assert fit.best <= fit.start
    assert len(fit.losses) < 30  # gave up early
    assert fit.losses[-1][1] > fit.best


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_dice_alone():
    a, b = pairs(5, 60, bent=True)
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        projection = CrossModalProjection(14, 12, hidden_dim=8)
        before = torch.get_rng_state()
        projection.fit(a, b, epochs=3, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(projection.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    again = CrossModalProjection(14, 12, hidden_dim=8)
    again.load_state_dict(states[0])
    again.eval()
    assert torch.equal(again(a), projection(a))


def test_info_nce_equals_its_definition():
    scores = torch.tensor([[2.0, 0.5], [1.0, 3.0]])
    rows = [-torch.log(torch.exp(scores[i, i]) / torch.exp(scores[i]).sum()) for i in range(2)]
    columns = [-torch.log(torch.exp(scores[i, i]) / torch.exp(scores[:, i]).sum()) for i in range(2)]
    torch.testing.assert_close(info_nce(scores), (sum(rows) / 2 + sum(columns) / 2) / 2)


def test_gradients_reach_every_parameter_also_under_autocast():
    a, b = pairs(6, 20, bent=True)
    projection = CrossModalProjection(14, 12, hidden_dim=8)
    projection.start(a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        projection.loss(a, b).backward()
    for name, parameter in projection.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_wrong_options_and_pairs_are_refused():
    with pytest.raises(ConfigError, match="dropout"):
        CrossModalProjection(4, 4, dropout=1.0)
    with pytest.raises(InputError, match="pairs are rows"):
        CrossModalProjection(4, 5).start(torch.zeros(3, 4), torch.zeros(2, 5))
    with pytest.raises(InputError, match="at least 10"):
        CrossModalProjection(4, 5).fit(torch.randn(4, 4), torch.randn(4, 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_row_of_zeros_is_never_nan_in_half_precision(dtype):
    projection = CrossModalProjection(14, 12).to(dtype)
    assert projection.to_b(torch.zeros(2, 14, dtype=dtype)).isfinite().all()
    assert projection.cycle_b(torch.zeros(2, 12, dtype=dtype)).isfinite().all()
