"""Tiny, randomly initialised checkpoints in the format in which real ones are published."""

import json
from pathlib import Path

import torch

WORDS = [
    "a", "cat", "dog", "the", "photo", "of", "sound", "siren", "tea", "is", "ready", "table", "on", "red", "green", "piano",
]  # fmt: skip
_TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64,
}  # fmt: skip
_VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8,
}  # fmt: skip


def tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    tok = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tok.pre_tokenizer = pre_tokenizers.Whitespace()
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", eos_token="[SEP]"
    )
    fast.save_pretrained(folder)


def clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    text = {**_TEXT, "max_position_embeddings": 16, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**_VISION, "image_size": 32}, projection_dim=24)
    CLIPModel(config).save_pretrained(folder)
    tokenizer(folder)
    settings = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "size": {"shortest_edge": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def siglip(folder: Path) -> Path:
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(1)
    text = {**_TEXT, "max_position_embeddings": 16, "projection_size": 32}
    SiglipModel(SiglipConfig(text_config=text, vision_config={**_VISION, "image_size": 32})).save_pretrained(folder)
    tokenizer(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return folder


def siglip2(folder: Path) -> Path:
    from transformers import Siglip2Config, Siglip2Model

    torch.manual_seed(2)
    text = {**_TEXT, "max_position_embeddings": 16, "projection_size": 32}
    Siglip2Model(Siglip2Config(text_config=text, vision_config={**_VISION, "num_patches": 16})).save_pretrained(folder)
    tokenizer(folder)
    settings = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "max_num_patches": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def clap(folder: Path) -> Path:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(3)
    audio = {
        "hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2], "window_size": 4,
        "num_mel_bins": 64, "spec_size": 256, "enable_fusion": False,
    }  # fmt: skip
    text = {**_TEXT, "max_position_embeddings": 64, "projection_hidden_act": "relu", "pad_token_id": 0}
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=24)).save_pretrained(folder)
    tokenizer(folder)
    ClapFeatureExtractor(truncation="rand_trunc", max_length_s=2).save_pretrained(folder)
    return folder


def pe_audio(folder: Path) -> Path:
    from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioModel

    torch.manual_seed(4)
    text = {**_TEXT, "model_type": "modernbert", "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
            "cls_token_id": 1, "sep_token_id": 2}  # fmt: skip
    dac = {"encoder_hidden_size": 4, "codebook_dim": 8, "downsampling_ratios": [2, 4]}
    audio = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
             "dac_config": dac}  # fmt: skip
    PeAudioModel(PeAudioConfig(text_config=text, audio_config=audio)).save_pretrained(folder)
    tokenizer(folder)
    PeAudioFeatureExtractor(sampling_rate=16_000, hop_length=160).save_pretrained(folder)
    return folder


def sentences(folder: Path, *, mode: str = "pooling_mode_mean_tokens", dense: bool = False) -> Path:
    """In the sentence-transformers format."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(5)
    BertModel(BertConfig(**_TEXT, max_position_embeddings=32)).save_pretrained(folder)
    tokenizer(folder)
    kind = "sentence_transformers.models."
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Dense", "2_Dense")] if dense else []), ("Normalize", "9")]
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind + name} for i, (name, path) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": True}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, mode: True}))
    if dense:
        (folder / "2_Dense").mkdir()
        settings = {"in_features": 32, "out_features": 20, "activation_function": "torch.nn.modules.activation.Tanh"}
        (folder / "2_Dense" / "config.json").write_text(json.dumps(settings))
        weights = {"linear.weight": torch.randn(20, 32), "linear.bias": torch.randn(20)}
        save_file(weights, folder / "2_Dense" / "model.safetensors")
    return folder
