"""Checkpoints of others: tiny ones with random weights, saved in the real format, read as the published ones are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

pytest.importorskip("transformers", reason="pip install transformers")

from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.hub import open_encoder
from multimodal.embeddings.opening import Choice, JoinedEncoder, open_encoders
from multimodal.errors import ConfigError, ModelFetchError, ModelMissingError
from multimodal.integration import IntegrationConfig, UnifiedMultimodalProcessor
from multimodal.types import ModalityType, MultimodalInput
from tests.multimodal import checkpoints

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3)).astype(np.uint8)
SOUND = (0.1 * RNG.standard_normal(16_000)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = str(getattr(checkpoints, kind)(tmp_path_factory.mktemp(kind)))
        return made[kind]

    return folder


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_pictures_and_words_are_what_the_model_makes_of_them(saved, kind):
    """Lost otherwise: a checkpoint that is read, and means something else than its makers' own code says."""
    from transformers import AutoModel, AutoTokenizer

    image, text = open_encoder("image", saved(kind)), open_encoder("text", saved(kind))
    entry, word = image(PICTURE), text("a cat on the table")
    model = AutoModel.from_pretrained(saved(kind)).eval()
    settings = json.loads((Path(saved(kind)) / "preprocessor_config.json").read_text())
    mean, deviation = (torch.tensor(settings[name], dtype=torch.float32) for name in ("image_mean", "image_std"))
    scaled = (torch.from_numpy(PICTURE).float() / 255 - mean) / deviation
    if kind == "siglip2":
        patches = [scaled[r : r + 8, c : c + 8].reshape(-1) for r in range(0, 32, 8) for c in range(0, 32, 8)]
        pixels = {"pixel_values": torch.stack(patches)[None], "pixel_attention_mask": torch.ones(1, 16, dtype=torch.int32),
                  "spatial_shapes": torch.tensor([[4, 4]])}  # fmt: skip
    else:
        pixels = {"pixel_values": scaled.permute(2, 0, 1)[None]}
    padding = {} if kind == "clip" else {"padding": "max_length", "max_length": 16}  # SigLIP was trained on padded texts
    ids = AutoTokenizer.from_pretrained(saved(kind))("a cat on the table", **padding)["input_ids"]
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([ids]), **pixels)
    torch.testing.assert_close(entry.embedding, F.normalize(output.image_embeds[0], dim=0), atol=1e-5, rtol=0)
    torch.testing.assert_close(word.embedding, F.normalize(output.text_embeds[0], dim=0), atol=1e-5, rtol=0)
    assert entry.metadata["grid"] == (4, 4)
    assert entry.features.shape == (16, image.width)


@pytest.mark.parametrize("kind", ["clap", "pe_audio"])
def test_sounds_and_words_share_their_models_space(saved, kind):
    audio, text = open_encoder("audio", saved(kind)), open_encoder("text", saved(kind))
    entry = audio(SOUND, sample_rate=16_000)
    assert entry.embedding.shape == text("the sound of a siren").embedding.shape == (audio.width,)
    assert torch.equal(entry.embedding, audio(SOUND, sample_rate=16_000).embedding)
    other = audio(np.sin(np.arange(16_000) / 3).astype(np.float32), sample_rate=16_000)
    assert not torch.allclose(entry.embedding, other.embedding)
    torch.testing.assert_close(
        audio.words("the sound of a siren")[0], text("the sound of a siren").embedding, atol=1e-6, rtol=0
    )


def test_a_long_sound_is_cut_and_not_drawn_at_random(saved):
    """CLAP's own preparation takes a random part of what is too long: the same sound would be two different ones."""
    audio = open_encoder("audio", saved("clap"))
    long = RNG.standard_normal(5 * 48_000).astype(np.float32)
    first, second = (audio(long, sample_rate=48_000).embedding for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, audio(long[: 2 * 48_000], sample_rate=48_000).embedding)


POOLED = {
    "pooling_mode_mean_tokens": lambda t: t.mean(0),
    "pooling_mode_cls_token": lambda t: t[0],
    "pooling_mode_max_tokens": lambda t: t.max(0).values,
    "pooling_mode_lasttoken": lambda t: t[-1],
}


@pytest.mark.parametrize("mode", POOLED)
def test_a_sentence_transformer_is_its_tokens_pooled_as_it_says(tmp_path, mode):
    from transformers import AutoModel

    folder = checkpoints.sentences(tmp_path, mode=mode)
    entry = open_encoder("text", str(folder))("A red CAT")
    ids = [1, *(4 + checkpoints.WORDS.index(word) for word in ["a", "red", "cat"]), 2]
    with torch.inference_mode():
        tokens = AutoModel.from_pretrained(folder).eval()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    torch.testing.assert_close(entry.embedding, F.normalize(POOLED[mode](tokens), dim=0), atol=1e-5, rtol=0)
    assert entry.features.shape == (5, 32)


def test_a_dense_module_and_a_limit_of_tokens_are_obeyed(tmp_path):
    encoder = open_encoder("text", str(checkpoints.sentences(tmp_path, dense=True)))
    assert encoder.width == 20
    assert torch.equal(encoder("tea " * 14).embedding, encoder("tea " * 900).embedding)


def test_an_entry_never_depends_on_its_neighbours(saved):
    encoder = open_encoder("text", saved("sentences"))
    texts = ["tea", "a cat on the table", "the sound of a siren"]
    for text, entry in zip(texts, encoder.encode_batch(texts), strict=True):
        assert torch.equal(entry.embedding, encoder(text).embedding)
    entries = encoder.encode_batch(["tea", 7, "piano"])
    assert [entry.error is None for entry in entries] == [True, False, True]


class TestRefused:
    def test_weights_that_could_run_code(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "clip"}')
        (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
        with pytest.raises(ModelFetchError, match="safetensors"):
            open_encoder("image", str(tmp_path))

    def test_code_of_its_own(self, tmp_path):
        folder = checkpoints.clip(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
        with pytest.raises(ModelFetchError, match="code"):
            open_encoder("image", str(folder))

    def test_a_file_that_lacks_weights_is_not_filled_up_at_random(self, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = checkpoints.clip(tmp_path)
        weights = load_file(folder / "model.safetensors")
        del weights["visual_projection.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelFetchError, match="visual_projection"):
            open_encoder("image", str(folder))

    @pytest.mark.parametrize(("modality", "kind"), [("image", "clap"), ("audio", "clip")])
    def test_what_a_model_does_not_read(self, saved, modality, kind):
        with pytest.raises(ModelFetchError, match="known here"):
            open_encoder(modality, saved(kind))

    def test_a_name_that_is_nowhere(self):
        with pytest.raises(ModelMissingError, match="local_files_only"):
            open_encoder("text", "nobody/nothing", local_files_only=True)
        with pytest.raises(ModelMissingError, match="no folder"):
            open_encoder("text", "./nothing")

    def test_an_unknown_dtype(self, saved):
        with pytest.raises(ConfigError, match="bfloat16"):
            open_encoder("text", saved("clip"), dtype="int8")


def test_precision_is_that_asked_for_and_part_of_the_fingerprint(saved):
    full, half = (open_encoder("image", saved("clip"), dtype=dtype) for dtype in ("float32", "bfloat16"))
    a, b = full(PICTURE).embedding, half(PICTURE).embedding
    assert b.dtype is torch.float32
    assert not torch.equal(a, b)
    assert float(a @ b) > 0.99
    assert full.fingerprint != half.fingerprint


def test_a_joined_encoder_places_what_it_sees_among_the_words_it_shares(saved):
    """A word's own vector, seen through the anchors, comes out where the text encoder has that word."""
    encoder = open_encoder("image", saved("clip"))
    names = ["cat", "dog", "table", "piano"]
    own = np.stack([encoder.words(name)[0].numpy() for name in names])
    target = np.eye(4, 7, dtype=np.float32)
    joined = JoinedEncoder(encoder, Vocabulary(names, target), own, temperature=0.001, alike=False)
    entry = joined.encode_batch([PICTURE])[0]
    assert entry.embedding.shape == (7,)
    assert entry.features.shape == (16, 7)
    best = names[int(np.argmax(own @ encoder(PICTURE).embedding.numpy()))]
    assert entry.metadata["labels"][0][0] == best
    assert names[int(entry.embedding[:4].argmax())] == best
    unread, read = joined.encode_batch([np.zeros(3), PICTURE])
    assert unread.error is not None
    assert unread.embedding.shape == (7,)
    assert torch.equal(read.embedding, entry.embedding)


@pytest.mark.models
def test_a_processor_takes_each_encoder_by_name(saved):
    """One line of configuration: here all three by checkpoints, the text encoder's space being that of all."""
    choice = Choice(text=saved("sentences"), image=saved("clip"), audio=saved("clap"))
    encoders = open_encoders(choice)
    assert {entry.embedding.shape for entry in (
        encoders[ModalityType.TEXT].encode_batch(["a cat"])[0],
        encoders[ModalityType.IMAGE].encode_batch([PICTURE])[0],
        encoders[ModalityType.AUDIO].encode_batch([(SOUND, 16_000)])[0],
    )} == {(32,)}  # fmt: skip
    config = IntegrationConfig(text_model=choice.text, image_model=choice.image, audio_model=choice.audio)
    with UnifiedMultimodalProcessor(config) as processor:
        output = processor.process(MultimodalInput(text="a cat", image=PICTURE, audio=SOUND))
        assert output.unified_representation.representation.isfinite().all()
        assert "clip" in processor.fingerprint


def test_what_is_put_before_a_text_is_part_of_it_and_of_the_fingerprint(tmp_path):
    checkpoints.sentences(tmp_path)
    plain = open_encoder("text", str(tmp_path))
    settings = {"prompts": {"query": "The Photo of "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    prompted = open_encoder("text", str(tmp_path))
    assert torch.equal(prompted("A cat").embedding, plain("the photo of a cat").embedding)  # it lowers all that it reads
    assert prompted.fingerprint != plain.fingerprint
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"include_prompt": False}))
    with pytest.raises(ModelFetchError, match="leaves its prompt out"):
        open_encoder("text", str(tmp_path))
