"""The adapter between stream and library: mixed up rows here would give one camera the words of another."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from daemon.config import Config, Mind
from daemon.mind import missing, missing_models, open_mind, settings
from daemon.picture import encode
from multimodal import IntegrationConfig, UnifiedMultimodalProcessor
from multimodal.fusion import save_fusion
from multimodal.integration.strategies import WEIGHTS, module_of
from pipelines.errors import QuestionError
from pipelines.packet import Packet

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def mind(pulled):
    with open_mind(Config()) as opened:
        yield opened


def picture(seed: int) -> Packet:
    noise = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8)
    return Packet("camera", "image", seed, encode(noise))


def test_an_unreadable_picture_keeps_its_place_and_leaves_its_neighbours_alone(mind):
    good = [picture(1), picture(2)]
    mixed = mind.encode([good[0], Packet("camera", "image", 9, b"no picture"), good[1]])
    alone = [mind.encode([packet])[0] for packet in good]
    assert mixed[1].error is not None
    assert (mixed[1].quality, mixed[1].confidence) == (0.0, 0.0)
    for got, expected in zip((mixed[0], mixed[2]), alone, strict=True):
        assert np.array_equal(got.vector, expected.vector)
        assert got.labels == expected.labels


def test_every_modality_reaches_the_stage_in_its_shapes(mind):
    [seen] = mind.encode([picture(1)])
    [heard] = mind.encode([Packet("mic", "audio", 0, np.zeros((16000, 2), np.int16), 16000)])
    [said] = mind.encode([Packet("notes", "text", 0, "tea is ready")])
    assert (seen.vector.shape, seen.native.shape, seen.cells.shape) == ((384,), (1280,), (7, 7, 384))
    assert (heard.vector.shape, heard.native.shape, heard.cells) == ((384,), (1024,), None)
    assert (said.vector.shape, said.text) == ((384,), "tea is ready")


def test_the_attention_that_is_shown_survives_the_adapter(mind):
    row = {"camera": mind.encode([picture(1)]), "notes": mind.encode([Packet("notes", "text", 0, "a carpet")])}
    [fused] = mind.fuse([row])
    assert list(fused.attention) == [("notes", "camera")]
    assert fused.attention["notes", "camera"].sum() == pytest.approx(1.0, abs=1e-5)
    assert sum(fused.contributions.values()) == pytest.approx(1.0)


def test_a_window_in_which_nothing_can_be_read_is_still_a_moment(mind):
    [fused] = mind.fuse([{"camera": mind.encode([Packet("camera", "image", 0, b"")])}])
    assert not fused.vector.any()


def test_a_question_in_words_carries_the_names_nearest_to_it(mind):
    names = [name for name, _ in mind.question(text="a violin").labels]
    assert "violin" in names
    assert any("Violin" in name for name in names)


def test_a_question_that_cannot_be_read_says_so(mind):
    with pytest.raises(QuestionError, match=r"cannot be read"):
        mind.question(image=b"no picture")


def test_every_option_of_the_mind_reaches_the_library(tmp_path):
    options = Mind(
        fusion_method="late", weights=tmp_path, batch_size=3, device="cpu", mixed_precision=False, text="org/words",
        image="org/clip", audio="org/clap", local_files_only=True,
    )  # fmt: skip
    made = settings(options)
    assert (made.fusion_method, made.fusion_weights, made.batch_size, made.device) == ("late", str(tmp_path), 3, "cpu")
    assert (made.text_model, made.image_model, made.audio_model) == ("org/words", "org/clip", "org/clap")
    assert (made.mixed_precision, made.local_files_only) == (False, True)


def test_the_default_mind_is_the_notebooks(mind):
    with UnifiedMultimodalProcessor() as processor:
        assert processor.fingerprint == mind.fingerprint


def trained(folder, method):
    module = module_of(IntegrationConfig(fusion_method=method))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_fusion(module, folder / WEIGHTS)


def test_trained_weights_are_one_line_of_configuration(mind, tmp_path):
    trained(tmp_path, "early")
    row = {"camera": mind.encode([picture(1)]), "notes": mind.encode([Packet("notes", "text", 0, "a carpet")])}
    [plain] = mind.fuse([row])
    with open_mind(Config(mind=Mind(fusion_method="early", weights=tmp_path))) as learned:
        [moved] = learned.fuse([row])
        assert learned.fingerprint != mind.fingerprint
        assert "early@" in learned.fingerprint
    assert not np.array_equal(plain.vector, moved.vector)
    assert plain.attention.keys() == moved.attention.keys()


@pytest.mark.parametrize("method", ["early", "late", "hierarchical", "bilinear", "adaptive"])
def test_any_fusion_runs_behind_the_same_stage_and_untrained_is_the_mean(mind, method):
    row = {"camera": mind.encode([picture(1)]), "notes": mind.encode([Packet("notes", "text", 0, "a carpet")])}
    with open_mind(Config(mind=Mind(fusion_method=method))) as other:
        [fused] = other.fuse([row])
        assert method in other.fingerprint
    assert np.array_equal(fused.vector, mind.fuse([row])[0].vector)


def test_check_says_which_weights_cannot_be_used_and_why(tmp_path):
    trained(tmp_path, "early")
    assert missing(Mind()) is None
    assert missing(Mind(fusion_method="early", weights=tmp_path)) is None
    assert "expected 'late'" in missing(Mind(fusion_method="late", weights=tmp_path))
    assert "'mean'" in missing(Mind(weights=tmp_path))
    assert "nowhere" in missing(Mind(fusion_method="early", weights=tmp_path / "nowhere"))
    command = ["check", "--json", "--set", f"mind.weights={tmp_path}", "--set", "mind.fusion_method=late"]
    done = subprocess.run([sys.executable, "-m", "daemon", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["missing"][0]["for"] == "mind.weights"


def test_check_says_which_checkpoints_are_not_here(tmp_path):
    assert missing_models(Mind()) == {}
    assert missing_models(Mind(image="owner/name")) == {}  # it would be fetched
    assert "config.json" in missing_models(Mind(image=str(tmp_path)))["image"]
    assert "local_files_only" in missing_models(Mind(audio="nobody/nothing", local_files_only=True))["audio"]
    command = ["check", "--json", "--set", "mind.image=/no/such/folder"]
    done = subprocess.run([sys.executable, "-m", "daemon", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert {"for": "mind.image", "what": "there is no folder /no/such/folder"} in json.loads(done.stdout)["missing"]
