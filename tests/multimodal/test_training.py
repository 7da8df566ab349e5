"""If these fail, weights are kept that find less than before, learned time is judged by, or Ctrl-C costs a night."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import ConfigError, InputError
from multimodal.fusion import AdaptiveFusion, EarlyFusion, LearnedFusion, MeanFusion
from multimodal.training import (
    Epoch,
    FusionTraining,
    Gathering,
    Moments,
    Settings,
    Split,
    compare,
    find,
    from_vectors,
    fused,
    loss,
    split_by_time,
)
from multimodal.types import ModalityEmbedding, ModalityType

SECOND = 1_000_000_000
NAMES = ("audio", "image", "text")


def habits(*, seed: int = 0, scenes: int = 60, related: bool = True, dim: int = 16) -> Moments:
    """A place where eight happenings come up again and again, each of three seconds; windows of 2 s every second.

        |-- 3 --|-- 0 --|-- 7 --|   what happens
        |----|  |----|
          |----|   ...              windows
    """
    dice = np.random.default_rng(seed)
    sides = {name: dice.standard_normal((8, dim)) for name in NAMES}  # nothing in common but that they come together
    rows: dict[str, list[tuple[int, Any, float]]] = {name: [] for name in NAMES}
    times = []
    for second in range(scenes * 3 - 1):
        if second % 3 == 0:
            one = int(dice.integers(8))
            what = {name: one if related else int(dice.integers(8)) for name in NAMES}
        for name in NAMES:
            if name == "text" and dice.random() < 0.3:
                continue
            vector = sides[name][what[name]] + 0.4 * dice.standard_normal(dim)
            rows[name].append((second, vector / np.linalg.norm(vector), float(dice.uniform(0.5, 1))))
        times.append((second * SECOND, (second + 2) * SECOND, 0))
    return from_vectors(rows, times)


def early(seed: int = 0, dim: int = 16, **options: Any) -> EarlyFusion:
    torch.manual_seed(seed)
    return EarlyFusion(dict.fromkeys(NAMES, dim), dim, **options)


QUICK = Settings(epochs=12, patience=4, learning_rate=3e-3)


class TestLearning:
    def test_what_came_together_is_found_on_time_that_was_not_learned_from(self):
        moments = habits()
        split = split_by_time(moments)
        module = early(width=64)
        FusionTraining(module, moments, split, QUICK).run()
        old, new = find(None, moments, split.judged), find(module, moments, split.judged)
        verdict = compare(old, new, moments)
        assert verdict.better
        assert new.figures()["R@5"] > old.figures()["R@5"] + 0.25

    def test_what_never_belonged_together_replaces_nothing(self):
        moments = habits(related=False)
        split = split_by_time(moments)
        module = early(width=64)
        FusionTraining(module, moments, split, QUICK).run()
        verdict = compare(find(None, moments, split.judged), find(module, moments, split.judged), moments)
        assert not verdict.better

    def test_the_best_weights_are_kept_not_the_last(self):
        moments = habits(scenes=30)
        module = early()
        seen: dict[int, dict[str, Tensor]] = {}

        def look(epoch: Epoch) -> None:
            seen[epoch.number] = {name: value.clone() for name, value in module.state_dict().items()}

        settings = Settings(epochs=50, patience=3, learning_rate=0.1)
        history = FusionTraining(module, moments, split_by_time(moments), settings).run(look)
        best = min(history, key=lambda epoch: epoch.stopped)
        assert history[-1].number == best.number + 3 < 50  # and it ended early
        assert all(torch.equal(value, seen[best.number][name]) for name, value in module.state_dict().items())

    def test_an_untrained_fusion_is_the_training_free_one(self):
        moments = habits(scenes=6)
        rows = torch.arange(len(moments))
        asked = moments.present
        expected = F.normalize(moments.asking(rows, asked)[1], dim=1)
        torch.testing.assert_close(fused(early().eval(), moments, rows, asked), expected, atol=1e-6, rtol=0)


class Counted(nn.Module):
    """A module whose residual is a plain linear map of the asking vectors, so that a loss can be recomputed by hand."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, features: dict[str, Tensor], *, quality: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        summed = torch.stack([quality[name][:, None] * features[name] for name in features]).sum(0)
        residual = self.linear(summed)
        return residual, {"residual": residual}


def test_the_loss_equals_its_definition():
    moments = habits(scenes=3, dim=5)
    torch.manual_seed(1)
    module = Counted(5)
    terms: list[list[float]] = [[], [], []]
    module.requires_grad_(False)
    for hidden in range(3):
        for row in range(len(moments)):
            others = [m for m in range(3) if m != hidden and float(moments.quality[row, m]) > 0]
            if not float(moments.quality[row, hidden]) or not others:
                continue
            mean = moments.mean[row, sum(1 << m for m in others)]
            asking = sum(moments.quality[row, m] * moments.seen[row, 0, m] for m in others)
            query = F.normalize(mean + module.linear(asking), dim=0)
            near = far = 0.0
            for other in range(len(moments)):
                if float(moments.quality[other, hidden]) > 0:
                    weight = math.exp(float(query @ moments.seen[other, 0, hidden]) / 0.1)
                    far += weight
                    near += weight * (abs(other - row) <= 1)  # windows of 2 s every second: the neighbours overlap
            terms[hidden].append(-math.log(near / far))
    rows = torch.arange(len(moments))
    expected = sum(sum(part) / len(part) for part in terms) / 3
    assert float(loss(module, moments, rows, rows, temperature=0.1)) == pytest.approx(expected, abs=1e-5)


class TestInterrupted:
    class Stop(KeyboardInterrupt):
        pass

    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_goes_on_to_the_same_weights(self, tmp_path: Path, after: int):
        moments = habits(scenes=20)
        split = split_by_time(moments)
        settings = Settings(epochs=5, patience=9, batch_size=32)
        whole = early(dropout=0.2)
        expected = FusionTraining(whole, moments, split, settings).run()

        def stop(epoch: Epoch) -> None:
            if epoch.number == after:
                raise self.Stop

        with pytest.raises(self.Stop):
            FusionTraining(early(dropout=0.2), moments, split, settings, folder=tmp_path).run(stop)
        again = early(seed=9, dropout=0.2)  # other weights than it began with: the checkpoint brings them
        training = FusionTraining(again, moments, split, settings, folder=tmp_path)
        assert training.history[-1].number == after
        history = training.run()
        assert [epoch[2:] for epoch in history] == [epoch[2:] for epoch in expected]
        assert all(torch.equal(value, whole.state_dict()[name]) for name, value in again.state_dict().items())

    def test_a_process_that_is_killed_loses_no_whole_epoch(self, tmp_path: Path):
        program = (
            "import torch\n"
            "from tests.multimodal.test_training import *\n"
            "torch.set_num_threads(1)\n"
            "moments = habits(scenes=20)\n"
            "settings = Settings(epochs=500, patience=500)\n"
            f"folder = Path({str(tmp_path)!r})\n"
            "training = FusionTraining(early(), moments, split_by_time(moments), settings, folder=folder)\n"
            "training.run(lambda epoch: print(epoch.number, flush=True))\n"
        )
        root = Path(__file__).parents[2]
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root)
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(4)]
        child.kill()
        child.communicate()
        moments = habits(scenes=20)
        split = split_by_time(moments)
        there = FusionTraining(early(), moments, split, Settings(epochs=500, patience=500), folder=tmp_path).history
        assert there[-1].number >= told[-1]
        settings = Settings(epochs=there[-1].number + 5, patience=500)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            again = FusionTraining(early(), moments, split, settings, folder=tmp_path)
            whole = FusionTraining(early(), moments, split, settings)
            assert [e.stopped for e in again.run()] == [e.stopped for e in whole.run()]
        finally:
            torch.set_num_threads(threads)

    def test_a_finished_one_can_be_given_more_epochs(self, tmp_path: Path):
        moments = habits(scenes=20)
        split = split_by_time(moments)
        expected = FusionTraining(early(), moments, split, Settings(epochs=4)).run()
        FusionTraining(early(), moments, split, Settings(epochs=2), folder=tmp_path).run()
        assert FusionTraining(early(), moments, split, Settings(epochs=2), folder=tmp_path).finished
        more = FusionTraining(early(), moments, split, Settings(epochs=4), folder=tmp_path).run()
        assert [epoch.stopped for epoch in more] == [epoch.stopped for epoch in expected]

    def test_another_training_in_the_folder_is_not_mixed_in(self, tmp_path: Path):
        moments = habits(scenes=20)
        split = split_by_time(moments)
        settings = Settings(epochs=1)
        FusionTraining(early(), moments, split, settings, folder=tmp_path).run()
        with pytest.raises(InputError, match="seed"):
            FusionTraining(early(), moments, split, Settings(epochs=1, seed=1), folder=tmp_path)
        with pytest.raises(InputError, match="moments"):
            FusionTraining(early(), habits(seed=5, scenes=20), split, settings, folder=tmp_path)
        with pytest.raises(InputError, match="weights"):
            FusionTraining(early(width=8), moments, split, settings, folder=tmp_path)
        assert FusionTraining(early(width=8), moments, split, settings, folder=tmp_path, fresh=True).history == []

    def test_the_callers_dice_are_left_alone(self):
        moments = habits(scenes=20)
        module = early(dropout=0.2)
        before = torch.get_rng_state()
        FusionTraining(module, moments, split_by_time(moments), Settings(epochs=1)).run()
        assert torch.equal(torch.get_rng_state(), before)


class TestGradientCheckpointing:
    @staticmethod
    def kept(*, switched_on: bool) -> tuple[int, list[Tensor]]:
        """Bytes that are held for the way back, and the gradients."""
        moments = habits(scenes=90)
        module = early(dropout=0.2, width=256)
        with torch.no_grad():
            module.core.out.weight.normal_(std=0.1)  # as if it had learned: gradients reach every layer
        module.train()
        total = 0
        seen: set[int] = set()

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen and not tensor.is_leaf:
                seen.add(storage.data_ptr())
                total += storage.nbytes()
            return tensor

        rows = torch.arange(len(moments))
        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            value = loss(module, moments, rows, rows[:8], dice=torch.Generator().manual_seed(0),
                         gradient_checkpointing=switched_on)  # fmt: skip
        torch.autograd.backward(value)
        return total, [parameter.grad for parameter in module.parameters() if parameter.grad is not None]

    def test_holds_a_third_of_the_memory_and_changes_no_bit(self):
        plain, gradients = self.kept(switched_on=False)
        less, again = self.kept(switched_on=True)
        assert less < plain / 3
        assert len(gradients) == len(again) > 5
        assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))


class TestSplit:
    def test_no_two_parts_share_time_and_the_last_time_is_judged(self):
        moments = habits(scenes=40)
        split = split_by_time(moments, stopped=0.15, judged=0.2)
        for before, after in pairwise((split.learned, split.stopped, split.judged)):
            gap = int(moments.start[after].min()) - int(moments.end[before].max())
            assert gap >= 2 * SECOND  # a window's length
        whole = int(moments.end.max())
        assert int(moments.start[split.judged].min()) == pytest.approx(0.8 * whole, abs=2 * SECOND)
        assert int(moments.end[split.judged].max()) == whole
        assert len(split.learned) > 0.6 * len(moments)

    def test_each_recording_is_split_for_itself(self):
        rows = {"image": [(n, np.eye(4)[n % 4], 1.0) for n in range(80)]}
        times = [(n * SECOND, (n + 1) * SECOND, 0) for n in range(40)]
        times += [((7000 + n) * SECOND, (7001 + n) * SECOND, 1) for n in range(40)]
        moments = from_vectors(rows, times)
        split = split_by_time(moments)
        for part in (split.learned, split.stopped, split.judged):
            assert moments.recording[part].unique().tolist() == [0, 1]

    def test_too_little_time_is_told(self):
        with pytest.raises(InputError, match="too little time"):
            split_by_time(habits(scenes=1))
        with pytest.raises(InputError, match="shares"):
            split_by_time(habits(scenes=20), stopped=0.5, judged=0.5)


class TestJudging:
    def test_ranks_are_those_of_a_search_by_hand(self):
        moments = habits(scenes=5, dim=6)
        rows = torch.arange(len(moments))
        found = find(None, moments, rows)
        for row, hidden, rank, right in zip(found.rows, found.hidden, found.ranks, found.right, strict=True):
            others = [m for m in range(3) if m != int(hidden) and float(moments.quality[row, m]) > 0]
            query = F.normalize(moments.mean[row, sum(1 << m for m in others)], dim=0)
            scores = {
                other: float(query @ moments.seen[other, 0, hidden])
                for other in rows.tolist() if float(moments.quality[other, hidden]) > 0
            }  # fmt: skip
            near = [other for other in scores if abs(other - int(row)) <= 1]
            best = max(scores[other] for other in near)
            assert int(rank) == sum(scores[other] >= best for other in scores if other not in near)
            assert int(right) == len(near)

    def test_a_fusion_that_says_the_same_of_everything_finds_nothing(self):
        moments = habits(scenes=5)
        flat = Moments(moments.modalities, torch.ones_like(moments.seen), moments.quality, moments.mean,
                       moments.start, moments.end, moments.recording)  # fmt: skip
        found = find(None, flat, torch.arange(len(flat)))
        assert torch.equal(found.ranks, found.candidates - found.right)

    def test_windows_side_by_side_are_no_witnesses_of_their_own(self):
        moments = habits(scenes=8)  # 23 s: three stretches of 8 s
        found = find(None, moments, torch.arange(len(moments)))
        better = type(found)(found.rows, found.hidden, torch.zeros_like(found.ranks), found.candidates, found.right)
        verdict = compare(found, better, moments)
        assert verdict.gain > 0
        assert verdict.witnesses == 3
        assert not verdict.better
        assert "too short" in verdict.reason

    def test_chance_is_what_blind_draws_find_first(self):
        moments = habits(scenes=4)
        found = find(None, moments, torch.arange(len(moments)))
        dice = np.random.default_rng(0)
        drawn = [
            np.mean(dice.integers(c, size=500) < r)
            for c, r in zip(found.candidates.tolist(), found.right.tolist(), strict=True)
        ]
        assert found.figures()["chance R@1"] == pytest.approx(float(np.mean(drawn)), abs=0.02)

    def test_moments_of_one_modality_teach_nothing(self):
        moments = from_vectors({"image": [(0, np.eye(3)[0], 1.0)]}, [(0, SECOND, 0)])
        with pytest.raises(InputError, match="two modalities"):
            find(None, moments, torch.arange(1))


class TestGathering:
    @staticmethod
    def entry(modality: ModalityType, seed: int, quality: float = 1.0) -> ModalityEmbedding:
        rows = F.normalize(torch.randn(50, 384, generator=torch.Generator().manual_seed(seed)), dim=1)
        picture = modality is ModalityType.IMAGE
        return ModalityEmbedding(modality, rows[0], rows[1:], {"grid": (7, 7)} if picture else {}, quality)

    @pytest.fixture
    def window(self) -> dict[str, list[ModalityEmbedding]]:
        return {
            "front": [self.entry(ModalityType.IMAGE, 1, 0.5), self.entry(ModalityType.IMAGE, 2)],
            "back": [self.entry(ModalityType.IMAGE, 3, 0.25)],
            "mic": [self.entry(ModalityType.AUDIO, 4, 0.8)],
            "notes": [self.entry(ModalityType.TEXT, 6, 0.9)],
        }

    def test_what_was_trained_is_what_runs(self, window):
        """Of every subset of the streams, the processor's fusion gives what training had before it."""
        torch.manual_seed(0)
        module = EarlyFusion(dict.fromkeys(NAMES, 384), 384, width=16)
        nn.init.normal_(module.core.out.weight, std=0.02)
        learned, mean = LearnedFusion(module, training_free=MeanFusion()), MeanFusion()
        gathering = Gathering()
        gathering.add(window, start=0, end=2 * SECOND)
        moments = gathering.moments()
        of = {"audio": ["mic"], "image": ["front", "back"], "text": ["notes"]}
        for place in range(1, 8):
            asked = torch.tensor([[bool(place >> number & 1) for number in range(3)]])
            part = {name: window[name] for m, there in zip(NAMES, asked[0], strict=True) if there for name in of[m]}
            ours = fused(module.eval(), moments, torch.zeros(1, dtype=torch.long), asked)[0].detach()
            torch.testing.assert_close(ours, torch.from_numpy(learned(part).vector), atol=1e-6, rtol=0)
            assert float((ours @ torch.from_numpy(mean(part).vector)).item()) < 0.999  # the residual does something

    def test_moments_come_by_time_and_the_unreadable_are_left_out(self, window):
        gathering = Gathering()
        gathering.add(window, start=5 * SECOND, end=7 * SECOND)
        gathering.add({"mic": window["mic"]}, start=0, end=2 * SECOND)
        broken = ModalityEmbedding(ModalityType.TEXT, torch.zeros(384), torch.zeros(0, 384), {"error": "empty"}, 0.0)
        gathering.add({"notes": [broken]}, start=9 * SECOND, end=10 * SECOND)
        moments = gathering.moments()
        assert moments.start.tolist() == [0, 5 * SECOND]
        assert moments.present.tolist() == [[True, False, False], [True, True, True]]
        assert moments.quality[1].tolist() == pytest.approx([0.8, (0.75 + 0.25) / 2, 0.9])

    def test_nothing_readable_is_told(self):
        with pytest.raises(InputError, match="no moment"):
            Gathering().moments()


def test_the_mixture_of_strategies_trains_as_well():
    moments = habits(scenes=20)
    torch.manual_seed(0)
    module = AdaptiveFusion(dict.fromkeys(NAMES, 16), 16, num_heads=2, rank=2)
    history = FusionTraining(module, moments, split_by_time(moments), Settings(epochs=2, learning_rate=3e-3)).run()
    assert history[-1].stopped < history[0].stopped


def test_every_wrong_setting_is_named():
    with pytest.raises(ConfigError) as told:
        Settings(epochs=0, noise=-1)
    assert "epochs is 0" in str(told.value)
    assert "noise is -1" in str(told.value)


def test_split_is_plain_rows():
    moments = habits(scenes=20)
    rows = torch.arange(len(moments))
    split = Split(rows[:30], rows[34:44], rows[48:])
    assert FusionTraining(early(), moments, split, Settings(epochs=1)).run()[-1].number == 1
