"""If these fail, a space shown in other dimensions, or joined with another, answers differently from the one it is."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.join import JoinedSpaces
from multimodal.embeddings.measures import recall
from multimodal.embeddings.space import SharedEmbeddingSpace, orthogonal_map, procrustes, ridge_map
from multimodal.errors import ConfigError, InputError, NotReadyError
from multimodal.types import ModalityEmbedding, ModalityType


@pytest.fixture
def dice() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def units(dice: torch.Generator, rows: int, dim: int) -> Tensor:
    return F.normalize(torch.randn(rows, dim, generator=dice), dim=1)


class TestShown:
    @pytest.mark.parametrize(("dim", "shown"), [(384, 512), (7, 8), (3, 64), (1, 1), (16, 16)])
    def test_wider_keeps_every_inner_product_and_comes_back(self, dice, dim, shown):
        space = SharedEmbeddingSpace(dim, shown)
        x = 3 * torch.randn(20, dim, generator=dice)
        y = space.encode(x)
        assert y.shape == (20, shown)
        torch.testing.assert_close(y @ y.T, x @ x.T, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(space.decode(y), x, atol=1e-5, rtol=1e-5)

    def test_no_dimension_is_left_empty(self):
        assert float(orthogonal_map(24, 64).abs().amax(1).min()) > 0.05  # as padding with zeros would

    def test_the_map_has_the_same_bits_everywhere(self):
        bits = hashlib.sha256(orthogonal_map(24, 40, seed=1).numpy().tobytes()).hexdigest()
        assert bits == "bab65a9c3b613dcaeb03d62b9f4600a2e3d542075336f5e9f7ef52e7ae64453b"
        assert not torch.equal(orthogonal_map(24, 40, seed=1), orthogonal_map(24, 40, seed=2))

    def test_narrower_keeps_cosines_nearly_and_lengths_exactly(self, dice):
        space = SharedEmbeddingSpace(256, 128)
        torch.testing.assert_close(space.weight @ space.weight.T, torch.eye(128), atol=1e-6, rtol=0)
        x = 2 * units(dice, 40, 256)
        y = space.encode(x)
        torch.testing.assert_close(y.norm(dim=1), torch.full((40,), 2.0))
        off = (y @ y.T - x @ x.T)[~torch.eye(40, dtype=torch.bool)] / 4
        assert float(off.std()) < 1.3 / 128**0.5

    def test_the_fitted_narrower_one_keeps_more_than_the_random_one(self, dice):
        x = F.normalize(torch.randn(300, 12, generator=dice) @ torch.randn(12, 64, generator=dice), dim=1)
        x = F.normalize(x + 0.02 * torch.randn(300, 64, generator=dice), dim=1)
        space = SharedEmbeddingSpace(64, 16)
        before = float((space.encode(x) @ space.encode(x).T - x @ x.T).abs().mean())
        kept = space.fit_shown(x)
        after = float((space.encode(x) @ space.encode(x).T - x @ x.T).abs().mean())
        assert kept > 0.97
        assert after < before / 20
        with pytest.raises(ConfigError, match="nothing to fit"):
            SharedEmbeddingSpace(16, 16).fit_shown(x[:, :16])

    def test_takes_what_encoders_give_in_any_precision(self, dice):
        space = SharedEmbeddingSpace(8, 12)
        x = units(dice, 2, 8)
        entries = [ModalityEmbedding(ModalityType.TEXT, row, torch.zeros(1, 8)) for row in x]
        assert torch.equal(space.encode(entries), space.encode(x))
        assert space.encode(entries[0]).shape == (12,)
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            assert space.encode(x.to(dtype)).dtype is dtype
        x.requires_grad_()
        space.encode(x).sum().backward()
        assert x.grad is not None and bool(x.grad.isfinite().all())

    def test_other_dimensions_are_refused(self):
        with pytest.raises(InputError, match="8 dimensions, not 9"):
            SharedEmbeddingSpace(8, 12).encode(torch.zeros(2, 9))
        with pytest.raises(ConfigError, match="shown_dim is 0"):
            SharedEmbeddingSpace(8, 0)


class TestAlign:
    def test_a_space_that_is_turned_and_moved_is_found_again(self, dice):
        ours = units(dice, 60, 16)
        theirs = ours @ orthogonal_map(16, 24, seed=9).T + 0.5
        space = SharedEmbeddingSpace(16, 20, spaces={"other": 24})
        with pytest.raises(NotReadyError, match="other"):
            space.encode(theirs, space="other")
        found = space.align("other", theirs[:40], ours[:40])
        assert found["R@1"] == 1
        assert found["cka"] > 0.9
        shown = space.encode(theirs[40:], space="other")
        assert shown.shape == (20, 20)
        assert recall(shown, space.encode(ours[40:]))["R@1"] == 1

    def test_ridge_finds_what_a_turn_cannot(self, dice):
        theirs = units(dice, 400, 12)
        ours = F.normalize(theirs * torch.logspace(-1.5, 1, 12), dim=1)
        space = SharedEmbeddingSpace(12, spaces={"other": 12})
        reached = {}
        for method in ("procrustes", "ridge"):
            space.align("other", theirs[:300], ours[:300], method=method)
            reached[method] = recall(space.encode(theirs[300:], space="other"), ours[300:])["R@1"]
        assert reached["ridge"] > reached["procrustes"] + 0.2

    def test_is_saved_with_all_it_learned(self, dice):
        ours, theirs = units(dice, 30, 6), units(dice, 30, 9)
        space = SharedEmbeddingSpace(6, 10, seed=4, spaces={"other": 9})
        space.align("other", theirs, ours)
        space.centre("audio", ours)
        again = SharedEmbeddingSpace(6, 10, spaces={"other": 9})
        again.load_state_dict(space.state_dict())
        assert torch.equal(again.encode(theirs, space="other"), space.encode(theirs, space="other"))
        assert torch.equal(again.centred("audio", ours), space.centred("audio", ours))

    def test_unknown_and_unpaired_are_refused(self, dice):
        space = SharedEmbeddingSpace(6, spaces={"other": 9})
        with pytest.raises(InputError, match="known: other"):
            space.align("clip", units(dice, 5, 9), units(dice, 5, 6))
        with pytest.raises(InputError, match="paired rows"):
            space.align("other", units(dice, 5, 9), units(dice, 4, 6))
        with pytest.raises(ConfigError, match="'ridge'"):
            space.align("other", units(dice, 5, 9), units(dice, 5, 6), method="cca")


def test_centring_closes_the_gap_that_outweighs_what_is_meant(dice):
    """Without it, a text whose cone lies near the pictures' matches each of them better than its own sound."""
    meaning = units(dice, 100, 32)
    offset = 3 * units(dice, 1, 32)
    space = SharedEmbeddingSpace(32)
    words, sounds = F.normalize(meaning + offset, dim=1), F.normalize(meaning - offset, dim=1)
    space.centre("text", words)
    space.centre("audio", sounds)
    assert float((words * sounds).sum(1).max()) < 0  # belongs together, and yet opposite
    assert float((space.centred("text", words) * space.centred("audio", sounds)).sum(1).mean()) > 0.9


def test_procrustes_is_the_best_turn_and_ridge_the_best_map(dice):
    x, y = torch.randn(30, 5, generator=dice).double(), torch.randn(30, 7, generator=dice).double()
    weight, scale = procrustes(x, y)
    torch.testing.assert_close(weight.T @ weight, torch.eye(5, dtype=torch.float64))
    lost = float((scale * x @ weight.T - y).square().sum())
    for seed in range(50):
        other = orthogonal_map(5, 7, seed=seed).double()
        assert lost <= float((scale * x @ other.T - y).square().sum())
    noisy = x.repeat(4000, 1) + (0.2 * x.square().mean()).sqrt() * torch.randn(120_000, 5, generator=dice)
    drawn = torch.linalg.lstsq(noisy, y.repeat(4000, 1)).solution.T
    torch.testing.assert_close(ridge_map(x, y, ridge=0.2), drawn, atol=0.02, rtol=0)  # noise drawn is noise by formula


class TestJoined:
    """Texts and pictures in one space, texts and sounds in another; common concepts, each modality with a lens of its own."""

    @staticmethod
    def world(seed: int, *, lens: float = 1.2, noise: float = 0.5) -> tuple[list[Tensor], Tensor, Tensor]:
        """(texts A, texts B, pictures, sounds) to fit on, then pictures and sounds of the same 200 held-out concepts."""
        dice = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=dice)

        words = [draw(24, dim) for dim in (48, 40)]
        others = [w + lens * draw(24, w.shape[1]) for w in words]
        cones = [1.5 * F.normalize(draw(1, dim), dim=1) for dim in (48, 40, 48, 40)]

        def seen(concepts: Tensor, by: Tensor, cone: Tensor) -> Tensor:
            clean = F.normalize(concepts @ by, dim=1)
            return F.normalize(clean + noise * draw(len(clean), by.shape[1]) / by.shape[1] ** 0.5 + cone, dim=1)

        texts = draw(600, 24)
        fitted = [seen(texts, words[0], cones[0]), seen(texts, words[1], cones[1]),
                  seen(draw(400, 24), others[0], cones[2]), seen(draw(400, 24), others[1], cones[3])]  # fmt: skip
        asked = draw(200, 24)
        return fitted, seen(asked, others[0], cones[2]), seen(asked, others[1], cones[3])

    def test_sounds_find_pictures_although_no_pair_was_ever_seen(self):
        rows, pictures, sounds = self.world(0)
        joined = JoinedSpaces(48, 40).fit(*rows)
        found = recall(joined.second(sounds, "other"), joined.first(pictures, "other"))
        assert found["R@5"] > 0.4  # by chance .025
        assert recall(joined.second(rows[1], "text"), joined.first(rows[0], "text"))["R@1"] > 0.9

    def test_what_texts_would_be_in_the_other_modality_helps(self):
        gains = []
        for seed in range(3):
            rows, pictures, sounds = self.world(seed)
            reached = []
            for enhanced in (False, True):
                joined = JoinedSpaces(48, 40).fit(*rows, enhanced=enhanced)
                reached.append(recall(joined.second(sounds, "other"), joined.first(pictures, "other"))["R@5"])
            gains.append(reached[1] - reached[0])
        assert min(gains) > 0.03

    def test_the_noise_of_ridge_helps_where_texts_are_few(self):
        rows, pictures, sounds = self.world(1, noise=1.0)
        few = [rows[0][:60], rows[1][:60], *rows[2:]]
        reached = []
        for noise in (1e-6, 1.0):
            joined = JoinedSpaces(48, 40).fit(*few, method="ridge", noise=noise)
            reached.append(recall(joined.second(sounds, "other"), joined.first(pictures, "other"))["R@10"])
        assert reached[1] > reached[0]

    def test_is_saved_whole_and_refuses_what_does_not_fit(self):
        rows, pictures, _ = self.world(2)
        joined = JoinedSpaces(48, 40)
        with pytest.raises(NotReadyError):
            joined.first(pictures, "other")
        joined.fit(*rows)
        again = JoinedSpaces(48, 40)
        again.load_state_dict(joined.state_dict())
        assert torch.equal(again.second(rows[3], "other"), joined.second(rows[3], "other"))
        with pytest.raises(InputError, match="same texts"):
            joined.fit(rows[0][:5], *rows[1:])
        with pytest.raises(InputError, match="'text' or 'other'"):
            joined.first(pictures, "image")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_row_of_zeros_is_never_nan(dice, dtype):
    space = SharedEmbeddingSpace(16, 8, spaces={"other": 12})
    space.align("other", units(dice, 40, 12), units(dice, 40, 16))
    joined = JoinedSpaces(16, 12).fit(*(units(dice, 40, dim) for dim in (16, 12, 16, 12)))
    nothing = torch.zeros(2, 16, dtype=dtype)
    assert not space.encode(nothing).any()
    assert not space.centred("text", nothing).any()
    few = nothing[:, :12]
    for found in (space.encode(few, space="other"), joined.first(nothing, "text"), joined.second(few, "other")):
        assert found.dtype == dtype
        assert found.isfinite().all()


def test_autocast_costs_no_cosine_and_changes_no_dtype(dice):
    space = SharedEmbeddingSpace(384, 512)
    x = units(dice, 20, 384)
    with torch.autocast("cpu", torch.bfloat16):
        shown = space.encode(x)
        back = space.decode(shown)
    assert shown.dtype == back.dtype == torch.float32
    torch.testing.assert_close(shown @ shown.T, x @ x.T, atol=1e-6, rtol=0)
    torch.testing.assert_close(back, x, atol=1e-6, rtol=0)
