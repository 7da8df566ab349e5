"""What `sensorium train` learns from a recording in which things belong together by habit: `sensorium bench training`.

A made-up place, watched for a while: a couple of dozen happenings, each with a picture, a sound and words that have nothing
to do with each other elsewhere, come up again and again in random order, never twice alike (the view, the loudness, the noise
and the wording differ, and now and then one of the three is missing). What belongs together can only be learned from what
came together; the last fifth of the time says so.

    python -m benchmarks.training FILE    writes the recording, for `sensorium train FILE`
"""

from __future__ import annotations

import json as json_documents
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.material.labelled import RATE, picture, scene_photos, scene_sounds, sound
from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure, report
from connectors.recording.replay import open_recording
from connectors.recording.writer import RecordingWriter
from daemon.config import Config
from daemon.learning import of_recordings
from daemon.mind import open_mind
from multimodal.embeddings.runtime import Device
from multimodal.errors import MultimodalError
from multimodal.fusion import STRATEGIES
from multimodal.training import Lesson, Moments, Origin, Settings, learn, loss
from pipelines.packet import MILLISECOND, SECOND, Event, Packet

START = 1_760_000_000 * SECOND
HAPPENINGS = 24
SCENE = 6
"""Seconds of one happening."""

SCENES = 160
WORDS = (
    "The lift has arrived", "Post for the third floor", "Lunch is being served", "The cleaning starts now",
    "A parcel must be signed for", "Somebody lost a scarf", "The meeting has moved to Monday", "Tickets, please",
    "The heating is broken again", "Happy birthday to you", "The plants need water", "Mind the step at the exit",
    "The printer is out of paper", "A taxi waits outside", "Visitors from abroad are here", "The coffee is finished",
    "The lights go out at ten", "Evacuate the building", "The children come home from school", "The doctor is in",
    "Interest rates are rising", "The team won two to nothing", "Rain is expected in the evening", "The prayer begins",
)  # fmt: skip
ROUND_IT = ("{}.", "Note: {}.", "{}, says the porter.", "Once more: {}.", "{}, as always.")

Pixels = NDArray[np.uint8]
Samples = NDArray[np.int16]


SEEDS = 3
OTHERS = ("late", "hierarchical", "bilinear", "adaptive")
OTHERS_EPOCHS = 8


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the figures; 1 where the new weights find no more than the old ones, 2 where material or models are missing."""
    begun = time.perf_counter()
    try:
        watched = moments()
    except (MaterialError, MultimodalError) as error:
        print(json_documents.dumps({"error": str(error)}) if json else f"bench training: {error}")
        return 2
    encoded = time.perf_counter()
    where = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    watched = watched.to(where)
    lessons = [_lesson(watched, where, "early", Settings(seed=seed)) for seed in range(SEEDS)]
    took = (time.perf_counter() - encoded) / SEEDS
    figures = []
    for name in ("R@1", "R@5", "median rank"):
        old = lessons[0].figures["all"]["old"][name]
        new = [lesson.figures["all"]["new"][name] for lesson in lessons]
        chance = f", chance {lessons[0].figures['all']['new']['chance R@1']:.3f}" if name == "R@1" else ""
        note = f"before {old:.3g}{chance}; ± {stdev(new):.2g} over {SEEDS} seeds"
        figures.append(Figure(f"early, {name}", mean(new), "", round(old, 4), name == "median rank", note))
    figures += [
        Figure(f"early, R@5 with {hidden} hidden", mean(lesson.figures[hidden]["new"]["R@5"] for lesson in lessons), "",
               note=f"before {lessons[0].figures[hidden]['old']['R@5']:.3f}")
        for hidden in watched.modalities
    ]  # fmt: skip
    sure = sum(lesson.verdict.better for lesson in lessons)
    figures.append(Figure("seeds whose weights are surely better", sure, f"of {SEEDS}", SEEDS))
    for strategy in OTHERS:
        lesson = _lesson(watched, where, strategy, Settings(epochs=OTHERS_EPOCHS))
        reached = lesson.figures["all"]["new"]["R@5"]
        figures.append(Figure(f"{strategy}, R@5", reached, "", note=f"{OTHERS_EPOCHS} epochs at most"))
    figures += _memory()
    notes = [
        f"{len(watched)} moments of {SCENES * SCENE} s, recorded, replayed and encoded in {encoded - begun:.0f} s; "
        f"a lesson of the early fusion takes {took:.0f} s on {where}.",
        "A hidden modality is looked for among that of all held-out moments. A happening that comes twice in that time cannot"
        " be told from itself, so R@1 does not reach 1.",
    ]
    return report("training", figures, notes=notes, as_json=json)


def _lesson(watched: Moments, where: str, strategy: str, settings: Settings) -> Lesson:
    torch.manual_seed(settings.seed)
    module = STRATEGIES[strategy](dict.fromkeys(watched.modalities, 384), 384, dropout=0.1).to(where)
    origin = Origin(data=["a made-up place"], replaced="the training-free fusion", models="embedded", command="bench")
    with tempfile.TemporaryDirectory() as folder:
        return learn(module, watched, Path(folder), settings=settings, origin=origin)


def _memory() -> list[Figure]:
    """The most that a process holds while it makes one large step, with and without gradient checkpointing (Linux)."""
    if not Path("/proc/self/status").exists():
        return [Figure("memory of a step with gradient checkpointing", None, "of without", note="only Linux tells it")]
    found = {}
    for way in ("start", "plain", "checkpointed"):
        command = [sys.executable, "-m", "benchmarks.training", "--step", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[way] = [float(value) for value in done.stdout.split()]
    plain, less = (found[way][0] - found["start"][0] for way in ("plain", "checkpointed"))
    note = f"{less:.0f} against {plain:.0f} MB beside the program, adaptive, 512 moments; " \
           f"processor time × {found['checkpointed'][1] / found['plain'][1]:.1f}"  # fmt: skip
    return [Figure("memory of a step with gradient checkpointing", less / plain, "of without", 0.4, True, note)]


def _step(way: str) -> None:
    """One step on made-up vectors; prints the highest resident size in MB and seconds of the processor."""
    count, names = 512, ("audio", "image", "text")
    dice = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(count, 3, 384, generator=dice), dim=-1)
    start = torch.arange(count) * SECOND
    seen, middle = vectors[:, None].expand(-1, 8, -1, -1), vectors.mean(1)[:, None].expand(-1, 8, -1)
    made_up = Moments(names, seen, torch.ones(count, 3), middle, start, start + 2 * SECOND, torch.zeros_like(start))
    module = STRATEGIES["adaptive"](dict.fromkeys(names, 384), 384, dropout=0.1).train()
    begun = time.process_time()
    if way != "start":
        rows = torch.arange(count)
        value = loss(module, made_up, rows, rows, dice=dice, gradient_checkpointing=way == "checkpointed")
        torch.autograd.backward(value)
    took = time.process_time() - begun
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()  # getrusage would count what the parent held
    highest = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(highest / 1024, took)


def events(seed: int = 0, scenes: int = SCENES) -> Iterator[Event]:
    """The place's camera (two pictures a second), microphone and notes, in order of time."""
    dice = np.random.default_rng(seed)
    photos, sounds = scene_photos(), scene_sounds()
    shown = [picture(photos[place].path) for place in dice.choice(len(photos), HAPPENINGS, replace=False)]
    heard = [_loud(sound(sounds[place].path, 12.0)) for place in dice.choice(len(sounds), HAPPENINGS, replace=False)]
    said = dice.permutation(WORDS)
    order = np.concatenate([dice.permutation(HAPPENINGS) for _ in range(scenes // HAPPENINGS + 1)])[:scenes]
    for number, happening in enumerate(order.tolist()):
        start = START + number * SCENE * SECOND
        mute, blind, silent = (float(dice.random()) < share for share in (0.1, 0.1, 0.2))
        gathered: list[Event] = []
        if not blind:
            view = _viewpoint(dice)
            for half in range(2 * SCENE):
                at = start + half * SECOND // 2 + 40 * MILLISECOND
                gathered.append(Packet("camera", "image", at, _seen(shown[happening], view, half, dice)))
        samples = _sounding(heard[happening], dice, silence=mute)
        gathered += [
            Packet("mic", "audio", start + second * SECOND, samples[second * RATE : (second + 1) * RATE, None], RATE)
            for second in range(SCENE)
        ]
        if not silent:
            gathered += [
                Packet("notes", "text", start + round(at * SECOND), str(dice.choice(ROUND_IT)).format(said[happening]))
                for at in (float(dice.uniform(0.2, 1.5)), float(dice.uniform(3.0, 5.0)))
            ]
        yield from sorted(gathered, key=lambda event: event.timestamp if isinstance(event, Packet) else 0)


def record(path: Path, *, seed: int = 0, scenes: int = SCENES) -> None:
    """Into a new file, without an alignment of its own: the default one, windows of 2 s every second."""
    with path.open("wb") as file:
        writer = RecordingWriter(file)
        for number, event in enumerate(events(seed, scenes)):
            writer.write(event, START + number * MILLISECOND)
        writer.close()


def moments(*, seed: int = 0, scenes: int = SCENES) -> Moments:
    """Recorded, replayed through the program's own pipeline and encoded."""
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "place.mcap"
        record(path, seed=seed, scenes=scenes)
        with open_mind(config) as mind:
            return of_recordings(config, [open_recording(path)], mind)


def _viewpoint(dice: np.random.Generator) -> tuple[float, float, float, float]:
    """Size, left, top (shares) and brightness."""
    return float(dice.uniform(0.6, 1.0)), float(dice.random()), float(dice.random()), float(dice.uniform(0.7, 1.2))


def _seen(photo: Pixels, view: tuple[float, float, float, float], step: int, dice: np.random.Generator) -> bytes:
    size, left, top, light = view
    size *= 1 - 0.01 * step
    height, width = (max(int(side * size), 8) for side in photo.shape[:2])
    y, x = int((photo.shape[0] - height) * top), int((photo.shape[1] - width) * left)
    cut = cv2.resize(photo[y : y + height, x : x + width], (320, 240), interpolation=cv2.INTER_AREA)
    grainy = np.clip(cut * light + dice.normal(0, 4, cut.shape), 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", grainy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def _loud(samples: Samples) -> Samples:
    peak = max(int(np.abs(samples.astype(np.int32)).max(initial=0)), 1)
    return np.asarray(samples * (14_000 / peak), np.int16)


def _sounding(samples: Samples, dice: np.random.Generator, *, silence: bool) -> Samples:
    """From somewhere in it, over and over, louder or softer, in the noise of the room."""
    wanted = SCENE * RATE
    turned = np.roll(np.resize(samples, max(wanted, len(samples))), -int(dice.integers(0, max(len(samples), 1))))[:wanted]
    level = 0.0 if silence else float(dice.uniform(0.4, 1.0))
    return np.asarray(np.clip(turned * level + dice.normal(0, float(dice.uniform(20, 200)), wanted), -32768, 32767), np.int16)


if __name__ == "__main__":
    if sys.argv[1] == "--step":
        _step(sys.argv[2])
    else:
        record(Path(sys.argv[1]))
