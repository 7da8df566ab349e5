"""If these fail, `sensorium train` learns from something else than what runs, or overwrites weights that were better."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from connectors.recording.replay import open_recording
from connectors.recording.writer import RecordingWriter
from daemon import bundled, cli
from daemon.config import Config, Store
from daemon.learning import of_recordings, of_store
from daemon.replaying import replay
from multimodal.fusion import EarlyFusion, LearnedFusion, MeanFusion
from multimodal.training import Moments, Origin, Settings, learn, weights_in
from pipelines.errors import StoreError
from pipelines.packet import SECOND, Event, Packet
from pipelines.protocols import Encoded, Fused

START = 1_760_000_000 * SECOND
HAPPENINGS = 6
ORIGIN = Origin(data=["a test"], replaced="the training-free fusion", models="tiny", command="sensorium train place.mcap")


class TinyMind:
    """Every content is a direction of its own in 384 dimensions, so that nothing but time says what belongs together."""

    fingerprint = "tiny+mean/f32"

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        return [self._encoded(packet) for packet in packets]

    def fuse(self, windows: Sequence[Mapping[str, Sequence[Encoded]]]) -> list[Fused]:
        return [Fused(np.zeros(384, np.float32)) for _ in windows]

    def question(self, **_: object) -> Encoded:
        raise NotImplementedError

    @staticmethod
    def _encoded(packet: Packet) -> Encoded:
        payload = packet.payload
        said = payload.split(" ")[0].encode() if isinstance(payload, str) else bytes(payload)
        seed = int.from_bytes(hashlib.sha256(said).digest()[:4], "little")
        vector = np.random.default_rng(seed).standard_normal(384).astype(np.float32)
        vector /= np.linalg.norm(vector)
        return Encoded(packet.modality, vector, vector[:8], quality=0.9, text=payload if isinstance(payload, str) else None)


def place(path: Path, *, scenes: int = 60, related: bool = True, seed: int = 0) -> Path:
    """Happenings of three seconds, each with a picture and a word; `related`: always the same two come together."""
    dice = np.random.default_rng(seed)
    pictures = [_jpeg(number) for number in range(HAPPENINGS)]
    with path.open("wb") as file:
        writer = RecordingWriter(file)
        for scene in range(scenes):
            seen = int(dice.integers(HAPPENINGS))
            said = seen if related else int(dice.integers(HAPPENINGS))
            for second in range(3):
                at = START + (3 * scene + second) * SECOND
                events: list[Event] = [
                    Packet("camera", "image", at + SECOND // 4, pictures[seen]),
                    Packet("notes", "text", at + SECOND // 2, f"word{said} again"),
                ]
                for event in events:
                    writer.write(event, at + SECOND)
        writer.close()
    return path


def _jpeg(number: int) -> bytes:
    import cv2

    pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


def gathered(path: Path) -> Moments:
    return of_recordings(Config(), [open_recording(path)], TinyMind())


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights that were learned from a place with habits."""
    folder = tmp_path_factory.mktemp("learned")
    lesson = taught(gathered(place(folder / "place.mcap")), folder / "weights")
    assert lesson
    return folder / "weights"


def taught(moments: Moments, out: Path) -> bool:
    torch.manual_seed(0)
    module = EarlyFusion(dict.fromkeys(("audio", "image", "text"), 384), 384, width=64)
    settings = Settings(epochs=6, patience=6, learning_rate=3e-3)
    return learn(module, moments, out, settings=settings, origin=ORIGIN, old=weights_in(out), fresh=True).verdict.better


def test_moments_are_the_windows_of_a_replay(tmp_path):
    path = place(tmp_path / "place.mcap", scenes=4)
    told: list[int] = []
    moments = of_recordings(Config(), [open_recording(path), open_recording(path)], TinyMind(), on_window=told.append)
    once = len(moments) // 2
    assert once == 13  # 12 s in windows of 2 s every second, the two at the edges half empty
    assert told[-1] == 2 * once
    assert moments.recording.tolist() == [0] * once + [1] * once
    assert (moments.end - moments.start).unique().tolist() == [2 * SECOND]
    assert moments.present[:once].tolist() == [[False, True, True]] * once
    word = int(np.random.default_rng(0).integers(HAPPENINGS))
    [expected] = TinyMind().encode([Packet("notes", "text", 0, f"word{word} again")])
    np.testing.assert_allclose(moments.alone(torch.tensor([1]), 2)[0].numpy(), expected.vector, atol=1e-6)


def test_a_store_teaches_what_its_recording_teaches(tmp_path):
    path = place(tmp_path / "place.mcap", scenes=8)
    config = Config(store=Store(path=tmp_path / "store", thumbnails=False))
    replay(config, open_recording(path), TinyMind())
    kept, direct = of_store(tmp_path / "store", lambda model: model == TinyMind.fingerprint), gathered(path)
    assert torch.equal(kept.start, direct.start)
    assert kept.modalities == ("image", "text")
    for ours, theirs in ((0, 1), (1, 2)):
        rows = torch.arange(len(kept))
        torch.testing.assert_close(kept.alone(rows, ours), direct.alone(rows, theirs), atol=2e-3, rtol=0)  # float16
    torch.testing.assert_close(kept.mean[:, 3], direct.mean[:, 6], atol=2e-3, rtol=0)
    with pytest.raises(StoreError, match="present models"):
        of_store(tmp_path / "store", lambda model: False)


def test_weights_come_with_a_card_and_run_in_the_processor(learned: Path):
    fusion = LearnedFusion.load(learned / "fusion.safetensors", training_free=MeanFusion())
    assert fusion.strategy == "early"
    card = (learned / "README.md").read_text()
    for said in ("sensorium train place.mcap", "fusion_method: early", "| all |", "a test", "Licence", "R@1 by chance"):
        assert said in card
    assert (learned / "loss.svg").read_text().startswith("<?xml")
    assert (learned / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_weights_that_are_no_better_replace_nothing(learned: Path, tmp_path: Path):
    before = {path.name: path.read_bytes() for path in learned.iterdir() if path.is_file()}
    assert not taught(gathered(place(tmp_path / "strange.mcap", related=False)), learned)
    assert {path.name: path.read_bytes() for path in learned.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("given", [[], ["a.mcap", "--store", "b"]])
def test_either_recordings_or_a_store(given: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.call(["train", *given]) == 2
    assert "or --store DIR" in capsys.readouterr().err


@pytest.mark.models
def test_half_a_minute_is_too_short_to_judge_and_says_so(tmp_path: Path):
    with bundled.recording() as path:
        done = subprocess.run(
            [sys.executable, "-m", "daemon", "train", str(path), "--out", str(tmp_path / "weights"),
             "--epochs", "2", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert not told["better"]
    assert "too short to judge" in told["reason"]
    assert not (tmp_path / "weights" / "fusion.safetensors").exists()
