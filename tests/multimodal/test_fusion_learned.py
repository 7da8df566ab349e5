"""A trained fusion in the processor's place: the mean's own bits until training, then every bit a function of one window."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal.errors import ConfigError, ModelMissingError
from multimodal.fusion import EarlyFusion, FusionResult, LearnedFusion, MeanFusion, Window
from multimodal.fusion.saved import STRATEGIES, Strategy, digest, load_fusion, save_fusion
from multimodal.types import ModalityEmbedding, ModalityType

D = 384
NAMES = ("audio", "image", "text")
each = pytest.mark.parametrize("strategy", STRATEGIES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def module_of(strategy: str, *, trained: bool) -> Strategy:
    torch.manual_seed(11)
    options = {"early": {"width": 64}, "bilinear": {"rank": 2, "width": 64}, "late": {"width": 64}}.get(strategy, {})
    module: Strategy = STRATEGIES[strategy](dict.fromkeys(NAMES, D), D, **options)
    if trained:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    return module.eval()


def unit(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(*shape, D)).astype(np.float32)), dim=-1)


def entry(rng: np.random.Generator, modality: ModalityType, quality: float) -> ModalityEmbedding:
    if modality is ModalityType.IMAGE:
        return ModalityEmbedding(modality, unit(rng), unit(rng, 49), {"grid": (7, 7)}, quality)
    vector = unit(rng)
    return ModalityEmbedding(modality, vector, vector[None], {}, quality)


def windows(rng: np.random.Generator) -> list[dict[str, list[ModalityEmbedding]]]:
    image, audio, text = ModalityType.IMAGE, ModalityType.AUDIO, ModalityType.TEXT
    broken = ModalityEmbedding(audio, torch.zeros(D), torch.zeros(0, D), {"error": "broken"}, 0.0, 0.0)
    return [
        {"cam": [entry(rng, image, 0.9)], "mic": [entry(rng, audio, 0.7)], "notes": [entry(rng, text, 1.0)]},
        {"cam": [entry(rng, image, 0.4), entry(rng, image, 0.8)], "door": [entry(rng, image, 0.6)], "mic": [broken]},
        {"mic": [entry(rng, audio, 0.2)], "notes": [entry(rng, text, 0.5)], "chat": [entry(rng, text, 1.0)]},
        {"notes": [entry(rng, text, 0.3)]},
    ]


def same(a: FusionResult, b: FusionResult) -> bool:
    return (
        np.array_equal(a.vector, b.vector)
        and a.contributions == b.contributions
        and a.alignment == b.alignment
        and a.coherence == b.coherence
        and a.attention.keys() == b.attention.keys()
        and all(np.array_equal(a.attention[key], b.attention[key]) for key in a.attention)
    )


@each
def test_untrained_it_is_the_mean_to_the_bit(strategy: str, rng: np.random.Generator) -> None:
    mean = MeanFusion()
    fusion = LearnedFusion(module_of(strategy, trained=False), training_free=mean)
    for window in [*windows(rng), {}, {"mic": []}]:
        assert same(fusion(window), mean(window))


@each
def test_trained_it_is_the_formula_written_out(strategy: str, rng: np.random.Generator) -> None:
    module, mean = module_of(strategy, trained=True), MeanFusion()
    window = windows(rng)[0]
    result = LearnedFusion(module, training_free=mean)(window)
    cells = window["cam"][0].features
    mic, notes = window["mic"][0].embedding, window["notes"][0].embedding
    looks = torch.stack([torch.softmax(cells @ question / 0.05, 0) for question in (mic, notes)]).mean(0)
    picture = torch.nn.functional.normalize(looks @ cells, dim=0)
    features = {"audio": mic[None], "image": picture[None], "text": notes[None]}
    fused, told = module(features, quality={"audio": 0.7, "image": 0.9, "text": 1.0})
    expected = torch.nn.functional.normalize(fused[0], dim=0).detach().numpy()
    np.testing.assert_allclose(result.vector, expected, atol=2e-5)
    named = {"mic": "audio", "cam": "image", "notes": "text"}
    assert result.contributions == pytest.approx(
        {stream: float(told["contributions"][modality]) for stream, modality in named.items()}, abs=1e-4
    )
    plain = mean(window)
    assert not np.allclose(result.vector, plain.vector, atol=1e-2)
    assert result.alignment == plain.alignment
    assert result.attention.keys() == plain.attention.keys()


@each
def test_contributions_are_by_stream_and_sum_to_one(strategy: str, rng: np.random.Generator) -> None:
    fusion = LearnedFusion(module_of(strategy, trained=True), training_free=MeanFusion())
    for window in windows(rng):
        result = fusion(window)
        assert set(result.contributions) == set(window)
        assert sum(result.contributions.values()) == pytest.approx(1, abs=1e-5)
        assert float(np.linalg.norm(result.vector)) == pytest.approx(1, abs=1e-5)
        assert all(share == 0 for name, share in result.contributions.items() if window[name][0].error)
    cameras = fusion(windows(rng)[1]).contributions
    assert cameras["cam"] > 0
    assert cameras["door"] > 0


@each
def test_a_window_does_not_depend_on_its_neighbours_or_on_callers(strategy: str, rng: np.random.Generator) -> None:
    fusion = LearnedFusion(module_of(strategy, trained=True), training_free=MeanFusion())
    many: list[Window] = [*windows(rng), *windows(rng)]
    first = [fusion(window) for window in many]
    assert all(same(fusion(window), before) for window, before in zip(reversed(many), reversed(first), strict=True))
    assert same(fusion(dict(reversed(many[0].items()))), first[0])
    with ThreadPoolExecutor(4) as pool:
        for after, before in zip(pool.map(fusion, many * 4), first * 4, strict=True):
            assert same(after, before)


@each
def test_a_window_does_not_depend_on_the_number_of_threads(strategy: str, rng: np.random.Generator) -> None:
    fusion = LearnedFusion(module_of(strategy, trained=True), training_free=MeanFusion())
    many = windows(rng)
    first = [fusion(window) for window in many]
    torch.set_num_threads(2)
    assert all(same(fusion(window), before) for window, before in zip(many, first, strict=True))


def test_another_width_than_the_embedded_models(rng: np.random.Generator) -> None:
    note = ModalityEmbedding(ModalityType.TEXT, torch.nn.functional.normalize(torch.ones(8), dim=0), torch.ones(1, 8))
    mean = MeanFusion(width=8)
    fusion = LearnedFusion(EarlyFusion(dict.fromkeys(NAMES, 8), 8), training_free=mean)
    assert same(fusion({"notes": [note]}), mean({"notes": [note]}))
    assert fusion({}).vector.shape == (8,)
    with pytest.raises(ConfigError, match="hidden_dim is 8, expected 384"):
        LearnedFusion(EarlyFusion(dict.fromkeys(NAMES, 8), 8), training_free=MeanFusion())


@each
def test_a_file_brings_back_every_bit(strategy: str, rng: np.random.Generator, tmp_path: Path) -> None:
    fusion = LearnedFusion(module_of(strategy, trained=True), training_free=MeanFusion())
    fusion.save(tmp_path / "fusion.safetensors")
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    again = LearnedFusion.load(tmp_path / "fusion.safetensors", training_free=MeanFusion(), strategy=strategy)
    assert torch.equal(torch.rand(1), drawn)  # loading moves nobody's random numbers
    assert again.digest == fusion.digest
    assert again.strategy == strategy
    for window in windows(rng):
        assert same(again(window), fusion(window))
    assert [path.name for path in tmp_path.iterdir()] == ["fusion.safetensors"]


def test_the_digest_knows_every_weight_and_option() -> None:
    module = module_of("early", trained=True)
    first = digest(module)
    assert digest(module_of("early", trained=True)) == first
    with torch.no_grad():
        module.get_parameter("core.out.bias")[3] += 1e-7
    assert digest(module) != first
    other = EarlyFusion(dict.fromkeys(NAMES, D), D, width=64, dropout=0.1)
    other.load_state_dict(module_of("early", trained=True).state_dict())
    assert digest(other) != first


def test_later_training_of_the_module_changes_nothing(rng: np.random.Generator) -> None:
    module = module_of("early", trained=True)
    fusion = LearnedFusion(module, training_free=MeanFusion())
    window = windows(rng)[0]
    before = fusion(window)
    with torch.no_grad():
        module.get_parameter("core.out.weight").zero_()
    assert same(fusion(window), before)
    assert next(module.parameters()).requires_grad


def test_what_is_not_the_expected_fusion_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "fusion.safetensors"
    with pytest.raises(ModelMissingError, match="no trained fusion"):
        load_fusion(path)
    save_fusion(EarlyFusion({"text": 8, "image": 4}, 16), path, about={"data": "toy"})
    assert (
        load_fusion(path, strategy="early", modality_dims={"image": 4, "text": 8}, hidden_dim=16).intake.hidden_dim
        == 16
    )
    with pytest.raises(ConfigError) as error:
        load_fusion(path, strategy="late", modality_dims={"text": 8}, hidden_dim=32)
    for said in ("strategy is 'early', expected 'late'", "modality_dims is", "hidden_dim is 16, expected 32"):
        assert said in str(error.value)
    with pytest.raises(ConfigError, match="hidden_dim is 16, expected 384"):
        LearnedFusion.load(path, training_free=MeanFusion())
    with pytest.raises(ConfigError, match="about has strategy"):
        save_fusion(EarlyFusion({"text": 8}, 16), path, about={"strategy": "late"})
    weights = load_file(path)
    save_file(weights, path)
    with pytest.raises(ConfigError, match="no fusion of this version"):
        load_fusion(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(ConfigError, match="not a safetensors file"):
        load_fusion(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    module = EarlyFusion({"text": 8}, 8)
    with torch.no_grad():
        module.core.out.bias[0] = torch.nan
    save_fusion(module, tmp_path / "fusion.safetensors")
    with pytest.raises(ConfigError, match=r"core\.out\.bias not finite"):
        load_fusion(tmp_path / "fusion.safetensors")
