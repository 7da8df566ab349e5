"""The generators: if these fail, a picture is not of what was asked for, or cannot be made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import ConfigError, InputError, ModelFetchError, ModelMissingError
from multimodal.generation import flow, mel
from multimodal.generation.basis import Basis
from multimodal.generation.decoder import SHAPES, load, place_of
from multimodal.generation.enlarge import Enlarger
from multimodal.generation.net import CONDITION, PointNet
from multimodal.retrieval import ImageToAudioGenerator, TextToImageGenerator
from multimodal.types import ModalityEmbedding, ModalityType


def vector(seed=0):
    return F.normalize(torch.randn(CONDITION, generator=torch.Generator().manual_seed(seed)), dim=0)


@pytest.fixture(scope="module")
def draw():
    return TextToImageGenerator(device="cpu")


@pytest.fixture(scope="module")
def play():
    return ImageToAudioGenerator(device="cpu")


class TestFlow:
    def noise(self, rows, seed=0):
        return torch.randn(rows, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    @pytest.mark.parametrize("steps", [1, 3, 40])
    def test_a_known_end_is_reached_exactly(self, steps):
        end = torch.arange(6.0).view(2, 3)
        made = flow.sample(lambda z, t, c, drop=None: end[: len(z)].repeat(len(z) // 2, 1), torch.randn(2, 3),
                           torch.zeros(2, 4), steps=steps, guidance=2.0)  # fmt: skip
        assert torch.allclose(made, end, atol=1e-5)

    def test_both_of_two_points_are_found_equally_often(self):
        def best(z, t, c, drop=None):  # E[x | z] for x = -1 or 1 in noise of deviation 1 - t
            return torch.tanh(t[:, None] * z / (1 - t[:, None]) ** 2)

        made = flow.sample(best, self.noise(2000), self.noise(2000), steps=40, guidance=1.0)
        assert (made.abs() - 1).abs().max() < 0.05
        assert made.mean().abs() < 0.08

    def test_the_error_falls_with_the_square_of_the_steps(self):
        def best(z, t, c, drop=None):  # E[x | z] for x normal of deviation 3: the flow multiplies noise by 3
            t = t[:, None]
            return 9 * t * z / (9 * t**2 + (1 - t) ** 2)

        noise = self.noise(50)
        errors = [
            (flow.sample(best, noise, noise, steps=n, guidance=1.0) - 3 * noise).abs().mean() for n in (16, 32, 64)
        ]
        assert errors[0] / errors[1] > 3
        assert errors[1] / errors[2] > 3

    @pytest.mark.parametrize(("guidance", "expected"), [(0.0, -1.0), (1.0, 2.0), (2.0, 5.0)])
    def test_guidance_leads_from_the_unconditional_end_through_the_conditional_one(self, guidance, expected):
        def two(z, t, c, drop=None):
            hidden = torch.zeros(len(z), dtype=torch.bool) if drop is None else drop
            return torch.where(hidden[:, None], torch.tensor(-1.0, dtype=z.dtype), torch.tensor(2.0, dtype=z.dtype))

        made = flow.sample(two, self.noise(4), self.noise(4), steps=4, guidance=guidance)
        assert torch.allclose(made, torch.full_like(made, expected))

    def test_the_loss_is_the_squared_error_of_the_velocity_and_nothing_for_one_who_knows(self):
        clean = torch.randn(64, 5)
        draws = torch.Generator().manual_seed(3)
        assert flow.loss(lambda *_, drop: clean, clean, torch.zeros(64, 2), generator=draws).max() == 0
        seen = {}

        def off_by_one(z, t, c, drop):
            seen["time"] = t
            return clean + 1

        loss = flow.loss(off_by_one, clean, torch.zeros(64, 2), generator=draws)
        assert torch.allclose(loss, 1 / (1 - seen["time"]).clamp_min(0.05) ** 2, rtol=1e-4)

    def test_the_condition_is_hidden_as_often_as_said(self):
        hidden = []

        def listening(z, t, c, drop):
            hidden.append(drop)
            return z

        clean = torch.zeros(20_000, 1)
        flow.loss(listening, clean, clean, generator=torch.Generator().manual_seed(0), forget=0.3)
        assert abs(hidden[0].float().mean() - 0.3) < 0.02


class TestParts:
    def net(self):
        torch.manual_seed(0)
        net = PointNet(coordinates=6, width=16, hidden=24, blocks=2, embedding=8)
        for values in net.parameters():
            torch.nn.init.normal_(values, std=0.3)
        return net

    def test_what_is_hidden_cannot_be_seen(self):
        net, z, t = self.net(), torch.randn(3, 6), torch.rand(3)
        one, other = vector(1).repeat(3, 1), vector(2).repeat(3, 1)
        drop = torch.tensor([True, False, True])
        a, b = net(z, t, one, drop=drop), net(z, t, other, drop=drop)
        assert torch.equal(a[drop], b[drop])
        assert not torch.allclose(a[~drop], b[~drop])

    def test_gradients_reach_every_weight(self):
        net = self.net()
        drop = torch.tensor([True, False])
        net(torch.randn(2, 6), torch.rand(2), torch.randn(2, CONDITION), drop=drop).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())

    def test_the_network_runs_in_bfloat16(self):
        made = self.net().bfloat16()(torch.randn(2, 6).bfloat16(), torch.rand(2), torch.randn(2, CONDITION).bfloat16())
        assert made.dtype is torch.bfloat16
        assert made.isfinite().all()

    def test_the_basis_is_that_of_principal_components(self):
        rng = np.random.default_rng(0)
        arrays = rng.normal(size=(40, 9)) @ rng.normal(size=(9, 9)) + 3
        basis = Basis.of(torch.from_numpy(arrays).float(), 4)
        values, directions = np.linalg.eigh(np.cov(arrays.T, bias=True))
        best = directions[:, ::-1][:, :4]
        expected = (arrays - arrays.mean(0)) @ best @ best.T + arrays.mean(0)
        point = basis.coordinates(torch.from_numpy(arrays).float())
        assert np.allclose(basis.arrays(point).numpy(), expected, atol=1e-4)
        deviations = np.sqrt(values[::-1][:4])
        assert np.allclose(point.std(0, correction=0), np.sqrt(deviations / deviations.mean()), rtol=1e-3)

    def test_untrained_the_enlarger_is_interpolation(self):
        small = torch.rand(2, 3, 8, 8)
        assert torch.equal(Enlarger()(small), F.interpolate(small, scale_factor=2.0, mode="bicubic"))


class TestMel:
    def sound(self):
        t = torch.arange(mel.SAMPLES) / mel.RATE
        return (0.4 * torch.sin(2 * torch.pi * (300 * t + 200 * t**2)) * (1 + torch.sin(8 * t)))[None]

    def test_a_sound_comes_back_from_its_picture(self):
        picture = mel.picture_of(self.sound())
        assert picture.shape == (1, mel.FRAMES, mel.BANDS)
        back = mel.sound_of(picture, generator=torch.Generator().manual_seed(0))
        assert back.shape == (1, mel.SAMPLES)
        again = mel.picture_of(back)
        assert (again - picture).abs().mean() < 0.1
        assert (mel.picture_of(torch.randn(1, mel.SAMPLES) * 0.1) - picture).abs().mean() > 0.5

    def test_the_spectrum_has_the_wanted_bands(self):
        wanted = torch.rand(2, 5, mel.BANDS)
        magnitudes = mel.spectrum_with(wanted, updates=400)
        assert magnitudes.min() >= 0
        assert (magnitudes @ mel.bands(wanted.device) - wanted).abs().mean() < 0.1

    @pytest.mark.models
    def test_the_bands_are_those_the_sound_encoder_hears(self, pulled: Path):
        from safetensors.torch import load_file

        from multimodal.embeddings import models

        own = load_file(models.folder_of("yamnet") / "weights.safetensors")["mel"]
        assert (own - mel.bands(torch.device("cpu"))).abs().max() < 1e-4


class TestPictures:
    def test_a_picture(self, draw):
        [made] = draw.generate(vector())
        assert made.picture.shape == (64, 64, 3)
        assert made.picture.dtype == np.uint8
        assert made.picture.std() > 5
        assert (made.seed, made.backend) == (0, "flow")
        assert made.metadata["guidance"] == 2.0

    def test_its_seed_makes_it_again_whatever_else_is_made(self, draw):
        several = draw.generate(vector(), seed=3, count=3, steps=4)
        assert [made.seed for made in several] == [3, 4, 5]
        [alone] = draw.generate(vector(), seed=5, steps=4)
        assert np.array_equal(several[2].picture, alone.picture)
        assert not np.array_equal(several[0].picture, several[1].picture)

    def test_an_embedding_of_anything_will_do(self, draw):
        entry = ModalityEmbedding(ModalityType.AUDIO, vector(), torch.zeros(0, 1024))
        forms = [entry, vector(), vector().numpy(), vector().double() * 7]
        pictures = [draw.generate(form, steps=2)[0].picture for form in forms]
        assert all(np.array_equal(pictures[0], other) for other in pictures[1:3])
        assert np.abs(pictures[0].astype(int) - pictures[3]).max() <= 1

    def test_what_is_asked_for_matters(self, draw):
        one, other = (draw.generate(vector(seed))[0].picture for seed in (1, 2))
        assert np.abs(one.astype(int) - other).mean() > 5

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (torch.zeros(CONDITION), "zero"),
            (torch.full((CONDITION,), torch.nan), "finite"),
            (torch.zeros(512), "384"),
            (ModalityEmbedding(ModalityType.TEXT, vector(), torch.zeros(0, CONDITION), {"error": "it has no end"}), "no end"),
        ],
    )  # fmt: skip
    def test_what_says_nothing_is_refused(self, draw, source, said):
        with pytest.raises(InputError, match=said):
            draw.generate(source)

    @pytest.mark.parametrize(
        "wrong", [{"steps": 0}, {"count": 0}, {"count": True}, {"guidance": -1}, {"seed": -1}, {"seed": 2**64}]
    )
    def test_a_wrong_value_is_named(self, draw, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            draw.generate(vector(), **wrong)

    @pytest.mark.parametrize(
        ("options", "error", "said"),
        [
            ({"backend": "gan"}, ConfigError, "'flow' or 'diffusers'"),
            ({"model": "somewhere"}, ConfigError, "backend='diffusers'"),
            ({"backend": "diffusers"}, ConfigError, "model"),
            ({"device": "tpu"}, ConfigError, "tpu"),
            ({"weights": Path("nowhere.safetensors")}, ModelMissingError, "generators pictures"),
            ({"weights": place_of("sounds")}, ModelFetchError, "no decoder of pictures"),
            ({"weights": Path(__file__)}, ModelFetchError, "no decoder of pictures"),
        ],
    )
    def test_what_cannot_be_opened_says_why(self, options, error, said):
        with pytest.raises(error, match=said):
            TextToImageGenerator(**options)

    @pytest.mark.models
    def test_colours_are_those_of_the_words(self, pulled: Path):
        draw = TextToImageGenerator(device="cpu")
        centres = {
            name: np.mean([m.picture[20:40, 20:44].mean((0, 1)) for m in draw.generate(f"{name} heart", count=4)], 0)
            for name in ("red", "blue", "green")
        }
        assert centres["red"].argmax() == 0
        assert centres["green"].argmax() == 1
        assert centres["blue"].argmax() == 2
        with pytest.raises(InputError, match="empty"):
            draw.generate("  ")

    def test_the_weights_are_small_and_float16(self):
        from safetensors.torch import load_file

        assert sum(place_of(kind).stat().st_size for kind in SHAPES) <= 8_000_000
        for kind in SHAPES:
            assert {values.dtype for values in load_file(place_of(kind)).values()} == {torch.float16}
            assert all(values.isfinite().all() for values in load(kind).state_dict().values())


class TestSounds:
    def test_a_sound(self, play):
        [made] = play.generate(vector())
        assert made.samples.shape == (mel.SAMPLES,)
        assert made.samples.dtype == np.float32
        assert made.sample_rate == 16_000
        assert np.abs(made.samples).max() == pytest.approx(0.5, abs=1e-4)
        assert made.metadata["mel"].shape == (192, 64)

    def test_its_seed_makes_it_again(self, play):
        first, second = play.generate(vector(), seed=8, count=2, steps=2)
        [again] = play.generate(vector(), seed=9, steps=2)
        assert np.array_equal(second.samples, again.samples)
        assert not np.array_equal(first.samples, again.samples)

    def test_it_sounds_like_its_picture_of_sound(self, play):
        [made] = play.generate(vector(4), steps=4)
        heard = mel.picture_of(torch.from_numpy(made.samples)[None])[0]
        wanted = torch.from_numpy(made.metadata["mel"])
        together = torch.corrcoef(torch.stack([heard.flatten(), wanted.flatten()]))[0, 1]
        assert together > 0.9

    def test_the_flow_has_one_length(self, play):
        with pytest.raises(ConfigError, match=r"1\.91"):
            play.generate(vector(), seconds=5)

    @pytest.mark.models
    def test_a_picture_becomes_a_sound(self, pulled: Path, picture):
        play = ImageToAudioGenerator(device="cpu")
        [made] = play.generate(picture(80, 60), steps=2)
        assert made.samples.std() > 0
        with pytest.raises(InputError, match="picture"):
            play.generate(np.zeros((4, 4), np.uint8))

    @pytest.mark.models
    def test_the_sound_encoder_tells_a_voice_from_a_drum(self, pulled: Path, audio):
        play = ImageToAudioGenerator(device="cpu")
        told = {}
        for words in ("a man speaking", "a snare drum"):
            entries = audio.encode_batch([(m.samples, m.sample_rate) for m in play.generate(words, count=4)])
            told[words] = [dict(entry.metadata["labels"]) for entry in entries]
        speech = {words: np.mean([labels.get("Speech", 0.0) for labels in some]) for words, some in told.items()}
        assert speech["a man speaking"] > speech["a snare drum"] + 0.2


@pytest.fixture(scope="module")
def words_of_nothing(tmp_path_factory):
    """A CLIP tokenizer that knows letters only."""
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), ",</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)


@pytest.fixture(scope="module")
def tiny_pictures(tmp_path_factory, words_of_nothing):
    """A random Stable Diffusion of 16x16 pictures, saved in the real format."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(words_of_nothing), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=53, eos_token_id=54, projection_dim=16))  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4)  # fmt: skip
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
                        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=words_of_nothing, unet=unet, safety_checker=None, feature_extractor=None,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1), requires_safety_checker=False)  # fmt: skip
    folder = tmp_path_factory.mktemp("pictures")
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def tiny_sounds(tmp_path_factory):
    """A random AudioLDM at 16 kHz, saved in the real format."""
    from diffusers import AudioLDMPipeline, AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import (
        ClapTextConfig,
        ClapTextModelWithProjection,
        RobertaTokenizer,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("roberta")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", ","]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    text = ClapTextModelWithProjection(ClapTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=20, bos_token_id=0, eos_token_id=2, projection_dim=16))  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, class_embed_type="simple_projection", projection_class_embeddings_input_dim=16,
        class_embeddings_concat=True)  # fmt: skip
    vae = AutoencoderKL(in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
                        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(
        model_in_dim=8, sampling_rate=16_000, upsample_initial_channel=16, upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False))  # fmt: skip
    pipeline = AudioLDMPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, vocoder=vocoder,
                                scheduler=DDIMScheduler(clip_sample=False, steps_offset=1))  # fmt: skip
    folder = tmp_path_factory.mktemp("sounds")
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


class TestDiffusers:
    def test_a_saved_pipeline_plays(self, tiny_sounds):
        play = ImageToAudioGenerator(backend="diffusers", model=tiny_sounds, device="cpu", local_files_only=True)
        labels = [("violin", 0.6), ("cello", 0.2)]
        entry = ModalityEmbedding(ModalityType.IMAGE, vector(), torch.zeros(49, CONDITION), {"labels": labels})
        first, second = play.generate(entry, steps=2, count=2, seed=1, seconds=0.05)
        assert first.samples.shape == (800,)
        assert first.sample_rate == 16_000
        assert first.metadata["prompt"] == "violin, cello"
        assert np.abs(first.samples).max() == pytest.approx(0.5, abs=1e-4)
        [again] = play.generate(entry, steps=2, seed=2, seconds=0.05)
        assert np.array_equal(again.samples, second.samples)

    def test_a_saved_pipeline_draws(self, tiny_pictures):
        draw = TextToImageGenerator(backend="diffusers", model=tiny_pictures, device="cpu", local_files_only=True)
        first, second = draw.generate("a cat", steps=2, count=2, seed=1)
        assert first.picture.shape == (16, 16, 3)
        assert first.picture.dtype == np.uint8
        assert first.metadata["prompt"] == "a cat"
        [again] = draw.generate("a cat", steps=2, seed=2)
        assert np.array_equal(again.picture, second.picture)
        assert not np.array_equal(first.picture, second.picture)
        other = draw.generate("dogs", steps=2, seed=2, guidance=20)[0]
        assert not np.array_equal(other.picture, again.picture)

    def test_an_embedding_becomes_the_names_of_its_labels(self, tiny_pictures):
        draw = TextToImageGenerator(backend="diffusers", model=tiny_pictures, device="cpu")
        labels = [("tabby", 0.6), ("lynx", 0.2), ("sofa", 0.1), ("cup", 0.05)]
        entry = ModalityEmbedding(ModalityType.IMAGE, vector(), torch.zeros(49, CONDITION), {"labels": labels})
        assert draw.generate(entry, steps=1)[0].metadata["prompt"] == "tabby, lynx, sofa"

    def test_a_pipeline_of_pictures_makes_no_sound(self, tiny_pictures):
        play = ImageToAudioGenerator(backend="diffusers", model=tiny_pictures, device="cpu")
        with pytest.raises(ConfigError, match="StableDiffusionPipeline: it makes no sounds"):
            play.generate("a cat", steps=1)

    def test_weights_that_could_run_code_are_refused(self, tiny_pictures, tmp_path):
        import shutil

        folder = tmp_path / "pickled"
        shutil.copytree(tiny_pictures, folder)
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_suffix(".bin"))
        with pytest.raises(ModelFetchError, match="pickled"):
            TextToImageGenerator(backend="diffusers", model=folder, device="cpu")

    def test_a_pipeline_with_code_of_its_own_is_refused(self, tiny_pictures, tmp_path):
        import shutil

        folder = tmp_path / "coded"
        shutil.copytree(tiny_pictures, folder)
        index = json.loads((folder / "model_index.json").read_text())
        index["_class_name"] = ["pipeline", "Mine"]
        (folder / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(ModelFetchError, match=r"pipeline\.py"):
            TextToImageGenerator(backend="diffusers", model=folder, device="cpu")

    def test_what_is_not_here_is_named(self, tmp_path):
        with pytest.raises(ModelMissingError, match="nobody/nothing"):
            TextToImageGenerator(backend="diffusers", model="nobody/nothing", local_files_only=True)
        with pytest.raises(ModelMissingError, match="no folder"):
            TextToImageGenerator(backend="diffusers", model="/no/such/folder")
        with pytest.raises(ModelFetchError, match="model_index"):
            TextToImageGenerator(backend="diffusers", model=tmp_path)
        (tmp_path / "model_index.json").write_text('{"_class_name": null}')
        with pytest.raises(ModelFetchError, match="of its own"):
            TextToImageGenerator(backend="diffusers", model=tmp_path)
        with pytest.raises(ConfigError, match="float32"):
            TextToImageGenerator(backend="diffusers", model=tmp_path, dtype="int8")
