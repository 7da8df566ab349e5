"""The public API of `multimodal`: every name, keyword and shape that users of the library were promised."""

import inspect
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

import multimodal
from multimodal.attention import (
    BiologicalAttention,
    CoAttention,
    CrossModalAttention,
    MultiHeadCrossModalAttention,
    SelfAttention,
)
from multimodal.embeddings import (
    AudioModalityEncoder,
    CrossModalProjection,
    ImageModalityEncoder,
    SharedEmbeddingSpace,
    TextModalityEncoder,
)
from multimodal.errors import ConfigError, InputError
from multimodal.fusion import AdaptiveFusion, BilinearFusion, EarlyFusion, HierarchicalFusion, LateFusion
from multimodal.integration import (
    AudioVisualIntegration,
    IntegrationConfig,
    UnifiedMultimodalProcessor,
    VisionLanguageIntegration,
)
from multimodal.retrieval import (
    AudioVisualRetrieval,
    ImageToAudioGenerator,
    SemanticSimilarityRetriever,
    TextToImageGenerator,
    VisionLanguageRetrieval,
    create_retriever,
)
from multimodal.types import (
    AttentionWeights,
    ModalityAlignment,
    ModalityEmbedding,
    ModalityType,
    MultimodalInput,
    MultimodalOutput,
    UnifiedRepresentation,
)
from multimodal.visualization import AttentionVisualizer

B, T, TQ, TK, D = 2, 5, 4, 6, 16
DIMS = {"text": 256, "image": 512, "audio": 384}
STRATEGIES = [EarlyFusion, LateFusion, HierarchicalFusion, BilinearFusion, AdaptiveFusion]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def processor():
    with UnifiedMultimodalProcessor(IntegrationConfig()) as opened:
        yield opened


@pytest.fixture(scope="module")
def moment():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    sound = (0.1 * rng.standard_normal(16000)).astype(np.float32)
    return MultimodalInput(text="a cat on a table", image=picture, audio=sound, sample_rate=16000)


class TestMultimodal:
    def test_names_at_the_top(self):
        for name in (
            "UnifiedMultimodalProcessor", "VisionLanguageIntegration", "AudioVisualIntegration", "IntegrationConfig",
            "MultimodalInput", "MultimodalOutput", "ModalityEmbedding", "ModalityType", "UnifiedRepresentation",
            "AttentionWeights", "ModalityAlignment", "attention", "fusion", "embeddings", "retrieval", "visualization",
            "integration",
        ):  # fmt: skip
            assert hasattr(multimodal, name), name
            assert name in dir(multimodal)

    def test_importing_is_cheap_and_loads_no_heavy_library(self):
        heavy = ["openvino", "transformers", "diffusers", "matplotlib", "usearch", "sklearn", "cv2", "soxr"]
        code = f"import torch, sys, multimodal; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestAttention:
    def test_self_attention(self):
        module = SelfAttention(D, num_heads=4, pattern="dense", dropout=0.0)
        assert inspect.signature(SelfAttention).parameters["num_heads"].default == 8
        padding = torch.tensor([[False] * T, [False] * 3 + [True] * 2])
        attended, weights = module(torch.randn(B, T, D), key_padding_mask=padding)
        assert attended.shape == (B, T, D)
        assert weights.shape == (B, 4, T, T)
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, 4, T))
        assert (weights[1, :, :, 3:] == 0).all()
        attended, weights = module(torch.randn(T, D))
        assert attended.shape == (T, D)

    @pytest.mark.parametrize("pattern", ["dense", "top-k", "local", "block", "strided", "entmax"])
    def test_patterns_have_names(self, pattern):
        attended, _ = SelfAttention(embedding_dim=D, num_heads=2, pattern=pattern)(torch.randn(B, T, D))
        assert attended.shape == (B, T, D)

    def test_an_unknown_pattern_is_refused_with_the_known_ones(self):
        with pytest.raises((ConfigError, InputError), match="local"):
            SelfAttention(D, pattern="sparkly")

    @pytest.mark.parametrize("quality", [None, torch.rand(B, TK), torch.rand(B)])
    def test_cross_modal_attention(self, quality):
        module = CrossModalAttention(query_dim=12, context_dim=20, hidden_dim=D, num_heads=4, dropout=0.0)
        query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
        attended, weights = module(query, context, quality=quality, need_weights=True)
        assert attended.shape == (B, TQ, D)
        assert weights.shape == (B, 4, TQ, TK)

    def test_quality_one_is_plain_and_zero_a_mask(self):
        module = CrossModalAttention(12, 20, D, num_heads=4)
        query, context = torch.randn(B, TQ, 12), torch.randn(B, TK, 20)
        plain = module(query, context)[0]
        assert torch.equal(module(query, context, quality=torch.ones(B, TK))[0], plain)
        quality = torch.ones(B, TK)
        quality[:, 2] = 0
        padding = quality == 0
        masked = module(query, context, key_padding_mask=padding)[0]
        torch.testing.assert_close(module(query, context, quality=quality)[0], masked)
        halved = module(query, context, quality=torch.full((B,), 0.0))[0]
        assert halved.abs().max() == 0

    def test_multi_head_cross_modal_attention(self):
        patterns = ("dense", "local", "strided", "top-k")
        module = MultiHeadCrossModalAttention(query_dim=12, context_dim=20, hidden_dim=D, patterns=patterns, dropout=0.0)
        attended, weights = module(torch.randn(B, TQ, 12), torch.randn(B, TK, 20), need_weights=True)
        assert attended.shape == (B, TQ, D)
        assert weights.shape == (B, len(patterns), TQ, TK)

    def test_co_attention(self):
        module = CoAttention(vision_dim=12, language_dim=20, hidden_dim=D)
        vision, language, attention = module(
            vision_features=torch.randn(B, TK, 12), language_features=torch.randn(B, TQ, 20)
        )
        assert vision.shape == (B, TK, D)
        assert language.shape == (B, TQ, D)
        assert {tuple(m.shape[-2:]) for m in attention.values()} == {(TK, TQ), (TQ, TK)}

    def test_biological_attention(self):
        module = BiologicalAttention(
            embedding_dim=D, num_heads=4, sparse_ratio=0.7, recurrent_steps=2, plasticity=0.1, dropout=0.0
        )
        attended, weights, memory = module(torch.randn(B, 10, D))
        assert attended.shape == (B, 10, D)
        assert ((weights > 0).sum(-1) == 3).all()
        again = module(torch.randn(B, 10, D), memory)
        assert again[0].shape == (B, 10, D)
        assert memory.shape not in {kept.shape for kept in module.state_dict().values()}, "the state belongs to a stream"

    def test_all_masked_gives_zeros_and_finite_gradients_even_from_nan(self):
        module = SelfAttention(D, num_heads=4)
        features = torch.randn(B, T, D)
        features[1] = math.nan
        features.requires_grad_()
        attended, weights = module(features, key_padding_mask=torch.tensor([[False] * T, [True] * T]))
        assert torch.isfinite(attended[0]).all()
        assert (weights[1] == 0).all()
        attended[0].sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


class TestFusion:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_shapes_any_order_and_any_subset(self, strategy):
        module = strategy(modality_dims=DIMS, hidden_dim=512).eval()
        features = {name: torch.randn(B, width) for name, width in DIMS.items()}
        fused, metadata = module(features)
        assert fused.shape == (B, 512)
        assert set(metadata["contributions"]) == set(DIMS)
        torch.testing.assert_close(sum(metadata["contributions"].values()), torch.ones(B))
        assert torch.equal(module(dict(reversed(features.items())))[0], fused)
        for name in DIMS:
            assert module({name: features[name]})[0].shape == (B, 512)
        mask = {"audio": torch.tensor([True, False])}
        quality = {name: torch.rand(B) for name in DIMS}
        fused, metadata = module(features, mask=mask, quality=quality)
        assert metadata["contributions"]["audio"][0] == 0
        assert torch.isfinite(fused).all()

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_untrained_it_is_the_quality_weighted_mean(self, strategy):
        module = strategy(modality_dims=dict.fromkeys(DIMS, 64), hidden_dim=64).eval()
        features = {name: torch.randn(B, 64) for name in DIMS}
        quality = {name: torch.rand(B) for name in DIMS}
        weighted = sum(quality[n][:, None] * features[n] for n in DIMS) / sum(quality.values())[:, None]
        torch.testing.assert_close(module(features, quality=quality)[0], weighted)
        torch.testing.assert_close(module(features)[0], sum(features.values()) / 3)

    def test_hidden_dim_is_512_by_default(self):
        for strategy in STRATEGIES:
            assert inspect.signature(strategy).parameters["hidden_dim"].default == 512


@pytest.mark.models
class TestEmbeddings:
    def test_encoders_without_arguments_share_a_space(self):
        rng = np.random.default_rng(0)
        text = TextModalityEncoder()("a cat")
        pictures = [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((40, 60, 3), (3, 40, 60), (1, 3, 40, 60))]
        pictures.append((2 * rng.random((40, 60, 3)) - 0.5).astype(np.float32))  # outside [0, 1]: clipped
        image = ImageModalityEncoder()
        sounds = [np.zeros(8000, np.int16), rng.standard_normal((9000, 2)).astype(np.float32)]
        audio = AudioModalityEncoder()
        entries = [text, *image(pictures), *(audio(sound, sample_rate=22_050) for sound in sounds)]
        for entry in entries:
            assert isinstance(entry, ModalityEmbedding)
            assert entry.embedding.shape == (384,)
            assert entry.features.ndim == 2
            assert 0 <= entry.quality_score <= 1
            assert 0 <= entry.confidence <= 1
        assert [entry.modality for entry in entries[:2]] == ["text", "image"]
        assert isinstance(image(pictures[0]), ModalityEmbedding)


def test_modality_embedding_and_type():
    entry = ModalityEmbedding(
        modality=ModalityType.TEXT, embedding=torch.zeros(4), features=torch.zeros(1, 4), metadata={}
    )
    assert (ModalityType.TEXT, ModalityType.IMAGE, ModalityType.AUDIO) == ("text", "image", "audio")
    assert isinstance(entry.quality_score, float)
    assert isinstance(entry.confidence, float)


class TestSpace:
    def test_a_space_shown_wider_keeps_every_cosine(self):
        vectors = torch.nn.functional.normalize(torch.randn(7, 384), dim=-1)
        shown = SharedEmbeddingSpace(384, 512).encode(vectors)
        assert shown.shape == (7, 512)
        torch.testing.assert_close(shown @ shown.T, vectors @ vectors.T, atol=1e-5, rtol=0)

    def test_projection_goes_both_ways(self):
        assert callable(CrossModalProjection)


class TestRetrieval:
    def test_vision_language(self):
        retriever = VisionLanguageRetrieval(vision_dim=512, language_dim=512)
        vectors = torch.nn.functional.normalize(torch.randn(6, 512), dim=-1)
        for number, vector in enumerate(vectors):
            retriever.index_text(f"text {number}", vector, metadata={"number": number})
            retriever.index_image(f"picture {number}", vector, metadata=None)
        best = retriever.retrieve_image_from_text(vectors[3], top_k=2)
        assert len(best) == 2
        assert best[0].retrieved_content == "picture 3"
        assert best[0].similarity_score == pytest.approx(1, abs=2e-3)
        assert math.isnan(best[0].confidence_score)
        assert retriever.retrieve_text_from_image(vectors[2], top_k=1)[0].metadata["number"] == 2
        query = ModalityEmbedding(ModalityType.TEXT, vectors[5], torch.zeros(1, 512))
        found = retriever.retrieve(query=query, target_modality=ModalityType.IMAGE, top_k=5)
        assert len(found) == 5
        assert found[0].retrieved_content == "picture 5"

    def test_created_by_name(self):
        kinds = {
            "semantic": SemanticSimilarityRetriever,
            "vision_language": VisionLanguageRetrieval,
            "audio_visual": AudioVisualRetrieval,
        }
        for name, kind in kinds.items():
            assert isinstance(create_retriever(name), kind)
        with pytest.raises((ConfigError, InputError), match="semantic"):
            create_retriever("psychic")

    def test_generators_generate(self):
        assert callable(TextToImageGenerator.generate)
        assert callable(ImageToAudioGenerator.generate)


class TestVisualization:
    def test_heat_map(self, tmp_path):
        visualizer = AttentionVisualizer(output_dir=tmp_path)
        figure, path = visualizer.create_attention_heatmap(
            attention_weights=torch.softmax(torch.randn(3, 4), -1),
            source_labels=["a", "cat", "sits"],
            target_labels=["one", "two", "three", "four"],
            title="words to cells",
        )
        assert path.is_file()
        assert figure is not None


class TestConfig:
    def test_every_promised_value_and_default(self):
        promised = {
            "text_embedding_dim": 512, "image_embedding_dim": 512, "audio_embedding_dim": 512, "shared_embedding_dim": 512,
            "batch_size": 32, "max_sequence_length": 512, "max_image_size": (224, 224), "max_audio_duration": 30.0,
            "num_attention_heads": 8, "attention_dropout": 0.1, "fusion_method": "adaptive", "fusion_dropout": 0.1,
            "device": "auto", "mixed_precision": False, "num_workers": 4, "enable_real_time_processing": False,
            "use_attention_visualization": False, "debug": False,
        }  # fmt: skip
        config = IntegrationConfig()
        assert {name: getattr(config, name) for name in promised} == promised
        for method in ("adaptive", "early", "late", "hierarchical", "bilinear", "mean"):
            IntegrationConfig(fusion_method=method)
        for name in promised:
            with pytest.raises(ConfigError, match=name):
                IntegrationConfig(**{name: "no such value"})


@pytest.mark.models
class TestProcessor:
    @pytest.mark.parametrize("mode", ["sequential", "parallel", "batch"])
    def test_process(self, processor, moment, mode):
        output = processor.process(moment, processing_mode=mode)
        assert isinstance(output, MultimodalOutput)
        unified = output.unified_representation
        assert isinstance(unified, UnifiedRepresentation)
        assert unified.representation.shape == (1, 512)
        assert sum(unified.modality_contributions.values()) == pytest.approx(1)
        assert set(unified.alignment_scores) == {"audio|image", "audio|text", "image|text"}
        assert set(output.modality_specific_outputs) == {"text", "image", "audio"}
        assert isinstance(output.attention_analysis, AttentionWeights)
        assert isinstance(output.alignment_results, ModalityAlignment)
        assert set(output.confidence_scores) == {"text", "image", "audio"}
        reference = processor.process(moment, processing_mode="sequential")
        assert torch.equal(unified.representation, reference.unified_representation.representation)

    def test_find_save_and_load(self, processor, moment, tmp_path):
        processor.process(moment)
        query = TextModalityEncoder()("a cat")
        assert processor.retrieve_cross_modal(query, target_modality=ModalityType.IMAGE, top_k=1)
        processor.save_model(tmp_path / "model")
        processor.load_model(tmp_path / "model")

    def test_nothing_given_is_refused(self, processor):
        with pytest.raises(InputError):
            processor.process(MultimodalInput())

    def test_in_real_time(self, moment):
        with UnifiedMultimodalProcessor(IntegrationConfig(enable_real_time_processing=True)) as live:
            live.add_real_time_input(moment)
            assert live.health()
            assert live.metrics()
            live.clear_cache()

    def test_pairs(self, moment):
        with VisionLanguageIntegration(IntegrationConfig()) as pair:
            pair.initialize()
            found = pair.process_vision_language(text_input="a cat", image_input=moment.image)
        assert set(found) == {"fused_representation", "attention_weights", "modality_features"}
        with AudioVisualIntegration(IntegrationConfig()) as pair:
            found = pair.process_audio_visual(audio_input=moment.audio, image_input=moment.image)
        assert set(found) == {"fused_representation", "attention_weights", "modality_features"}
