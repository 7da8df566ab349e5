"""Makes the recording that comes with the program: `python -m examples.make_recording [FILE]`.

Seven scenes of five seconds, each with a picture and a sound of its own, watched live: the script plays a camera, a
microphone and somebody who takes notes against a clock of its own, through the same windower and recorder as a live run.
What went wrong in that run is in the recording: a frozen camera, silence, packets that came late and out of order, and a
camera that hung, so that the clock closed windows without it.

The same bytes come out on every machine (given the same versions of the packages below, of OpenCV and of espeak-ng, which
must be installed). The material is fetched by package name; `daemon/data/ATTRIBUTION.md` says whose it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import RATE, picture, sound
from benchmarks.material.packages import GCOMPRIS, SCIKIT_IMAGE, SONIC_PI, Package, folder
from connectors.recording.recorder import Recorder
from connectors.recording.schema import Alignment
from pipelines.merge import TICK
from pipelines.packet import MILLISECOND, SECOND, Bound, Event, Gap, Packet
from pipelines.testing.clock import SettableClock
from pipelines.window import REFUSED, StreamTime, Windower

Samples = NDArray[np.int16]
Pixels = NDArray[np.uint8]

CAMERA, MICROPHONE, NOTES = "camera.demo", "mic.demo", "notes"
START = 1_760_000_000 * SECOND
SCENE = 5 * SECOND
FRAMES_PER_SECOND = 5
CHUNK = RATE // 10
QUALITY = 52

FROZEN = (12_300 * MILLISECOND, 15 * SECOND)
"""While the camera sends one and the same picture."""

DISORDER = (25 * SECOND, 30 * SECOND)
"""While the camera's pictures overtake each other, and two of them come too late."""

HANG = (31_100 * MILLISECOND, 33_300 * MILLISECOND)
"""While the camera delivers nothing; afterwards it delivers the first half of that and has lost the rest."""


class Scene(NamedTuple):
    """What is in front of the camera and what is heard; `pan` is where the view moves, in shares of the free width."""

    photo: Callable[[], Pixels]
    heard: Callable[[], Samples]
    pan: tuple[float, float] = (0.1, 0.9)


class Timed(NamedTuple):
    """An event and the instant at which it reaches the aligner."""

    arrival: int
    event: Event


def scenes() -> list[Scene]:
    """In their order."""
    return [
        Scene(_photo(SCIKIT_IMAGE, "coffee.png"), _telephone),
        Scene(_photo(SCIKIT_IMAGE, "chelsea.png"), _crow, (0.7, 0.2)),
        Scene(_photo(GCOMPRIS, "dam3.webp"), _sample("ambi_sauna")),
        Scene(_photo(GCOMPRIS, "explore_world_animals/**/panda.webp"), _sample("loop_mika"), (0.9, 0.3)),
        Scene(_photo(GCOMPRIS, "fish25.webp"), lambda: np.zeros(0, np.int16)),
        Scene(_photo(GCOMPRIS, "hammer3.webp"), _alarm, (0.2, 0.6)),
        Scene(_photo(GCOMPRIS, "crocodile.webp"), _speech, (0.8, 0.2)),
    ]


NOTED = (
    (1_200, "Coffee is ready, but the telephone will not stop ringing."),
    (6_400, "The crow is back, and the cat has seen it."),
    (16_500, "The panda keeper practises his drums before lunch."),
    (22_000, "Very quiet at the aquarium today."),
    (27_300, "Somebody burnt the toast, it is only the smoke alarm."),
    (33_000, "Guided tour of the river ends at half past four."),
)
"""Milliseconds, and what was written down."""


def camera() -> Iterator[Timed]:
    """Pictures of 320x240 as JPEG; each scene's view pans and closes in a little."""
    random = np.random.default_rng(7)
    frozen = b""
    sequence = 0
    for number, scene in enumerate(scenes()):
        photo = scene.photo()
        count = SCENE // SECOND * FRAMES_PER_SECOND
        for i in range(count):
            at = number * SCENE + i * SECOND // FRAMES_PER_SECOND + int(random.integers(0, 8)) * MILLISECOND
            jpeg = _jpeg(_view(photo, scene.pan, i / count))
            if FROZEN[0] <= at < FROZEN[1]:
                jpeg = frozen = frozen or jpeg
            packet = Packet(CAMERA, "image", START + at, jpeg, sequence=sequence)
            sequence += 1
            arrival = START + at + (35 + int(random.integers(0, 15))) * MILLISECOND
            if DISORDER[0] <= at < DISORDER[1]:
                arrival += (250 if i % 4 == 1 else 0) * MILLISECOND + (900 if i in {11, 18} else 0) * MILLISECOND
            if HANG[0] <= at < HANG[1]:
                if at >= sum(HANG) // 2:
                    continue
                arrival = START + HANG[1] + (40 + i) * MILLISECOND
            yield Timed(arrival, packet)
    lost = Gap(CAMERA, START + sum(HANG) // 2, START + HANG[1], "the camera hung and lost its pictures")
    yield Timed(START + HANG[1] + 100 * MILLISECOND, lost)


def microphone() -> Iterator[Timed]:
    """16 kHz mono in chunks of 100 ms."""
    room = np.concatenate([_fitted(scene.heard()) for scene in scenes()])
    for sequence, first in enumerate(range(0, len(room), CHUNK)):
        at = START + first * SECOND // RATE
        packet = Packet(MICROPHONE, "audio", at, room[first:first + CHUNK, None], RATE, sequence)
        yield Timed(packet.end + 20 * MILLISECOND, packet)


def notes() -> Iterator[Timed]:
    """Lines of text, and twice a second the promise that nothing older will come."""
    for sequence, (at, text) in enumerate(NOTED):
        yield Timed(START + (at + 30) * MILLISECOND, Packet(NOTES, "text", START + at * MILLISECOND, text, sequence=sequence))
    for at in range(0, len(scenes()) * SCENE + SECOND, SECOND // 2):
        yield Timed(START + at + 40 * MILLISECOND, Bound(NOTES, START + at))


def record(path: Path) -> int:
    """Watch it all live into `path`, which must not exist; the number of windows that the clock closed."""
    clock = SettableClock(START - SECOND)
    times = {
        CAMERA: StreamTime(bound=300 * MILLISECOND, idle_after=2 * SECOND),
        MICROPHONE: StreamTime(idle_after=2 * SECOND),
        NOTES: StreamTime(idle_after=2 * SECOND),
    }
    alignment = Alignment(
        length=2 * SECOND, hop=SECOND, streams=times, group="demo", lateness=3 * SECOND, opened=clock.now(),
        modalities={CAMERA: "image", MICROPHONE: "audio", NOTES: "text"})
    recorder = Recorder(path, clock=clock, alignment=alignment, flush_seconds=3600.0)
    cuts = 0

    def late(packet: Packet, reason: str) -> None:
        if reason in REFUSED:
            recorder.refused(packet.stream, windower.counters[packet.stream].received)

    def on_cut(cut: object) -> None:
        nonlocal cuts
        cuts += 1
        recorder.cut(cut)  # type: ignore[arg-type]

    windower = Windower(
        length=alignment.length, hop=alignment.hop, streams=times, group=alignment.group, lateness=alignment.lateness,
        deadline=600 * MILLISECOND, late=late, on_cut=on_cut)
    windower.tick(clock.now())
    for timed in sorted((*camera(), *microphone(), *notes()), key=lambda timed: timed.arrival):
        while clock.now() + TICK <= timed.arrival:
            windower.tick(clock.advance(TICK))
        clock.time = timed.arrival
        recorder.put(timed.event)
        if isinstance(timed.event, Packet):
            windower.push(timed.event, timed.arrival)
        elif isinstance(timed.event, Bound):
            windower.advance(timed.event.stream, timed.event.timestamp, timed.arrival)
        else:
            windower.gap(timed.event, timed.arrival)
    windower.close()
    recorder.close()
    if recorder.error is not None:
        raise recorder.error
    return cuts


def _photo(package: Package, name: str) -> Callable[[], Pixels]:
    return lambda: picture(next(iter(sorted(folder(package).rglob(name)))))


def _sample(name: str) -> Callable[[], Samples]:
    return lambda: sound(folder(SONIC_PI) / "usr/share/sonic-pi/samples" / f"{name}.flac", SCENE / SECOND)


def _view(photo: Pixels, pan: tuple[float, float], progress: float) -> Pixels:
    """A cut of 4:3 that fits, moved along `pan` and closing in by a tenth."""
    height, width = photo.shape[:2]
    side = min(width / 4, height / 3) * (1 - 0.1 * progress)
    w, h = round(4 * side), round(3 * side)
    left = round((width - w) * (pan[0] + (pan[1] - pan[0]) * progress))
    top = (height - h) // 2
    return np.asarray(cv2.resize(photo[top:top + h, left:left + w], (320, 240), interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(pixels: Pixels) -> bytes:
    done, jpeg = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a picture")
    return bytes(jpeg)


def _fitted(samples: Samples) -> Samples:
    """As long as a scene, with a loud moment of 6,000 to 16,000; silence stays silence."""
    wanted = SCENE * RATE // SECOND
    whole = np.zeros(wanted, np.int16)
    whole[:len(samples)] = samples[:wanted]
    peak = int(np.abs(whole.astype(np.int32)).max())
    if peak == 0 or 6_000 <= peak <= 16_000:
        return whole
    return np.asarray(whole * (12_000 / peak), np.int16)


def _time() -> NDArray[np.float64]:
    return np.arange(SCENE * RATE // SECOND) / RATE


def _telephone() -> Samples:
    """Two small bells, struck in turn 26 times a second as by a clapper, over a soft ringing tone (440 and 480 Hz)."""
    t = _time()
    ring = np.zeros(len(t))
    for fundamental, turn in ((1_840.0, 0.0), (2_200.0, 0.5)):
        strike = np.exp(-2.6 * ((13 * t + turn) % 1))
        for partial, level in ((1, 1.0), (2, 0.5), (2.76, 0.6), (4.1, 0.3), (5.4, 0.25)):  # of a bell, inharmonic
            ring += level * strike * np.sin(2 * np.pi * fundamental * partial * t)
    ring /= np.abs(ring).max()
    ring += 0.15 * (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t))
    return np.asarray(ring * (11_000 / np.abs(ring).max()), np.int16)


def _alarm() -> Samples:
    """As a smoke detector beeps: 0.3 s of every 0.5 s at 3.2 kHz, driven into its limits."""
    t = _time()
    horn = np.clip(3 * (np.sin(2 * np.pi * 3_200 * t) + 0.5 * np.sin(2 * np.pi * 6_400 * t)), -1, 1)
    return np.asarray(9_000 * horn * (t % 0.5 < 0.3), np.int16)


def _crow() -> Samples:
    caw = sound(folder(SONIC_PI) / "usr/share/sonic-pi/samples" / "misc_crow.flac")
    return np.tile(np.concatenate([caw, np.zeros(RATE // 8, np.int16)]), 10)


def _speech() -> Samples:
    if shutil.which("espeak-ng") is None:
        raise SystemExit("make_recording: the speech is synthesised by espeak-ng; install the package of that name")
    text = "Please keep your hands inside the boat. The crocodile has not been fed today, and it is hungry."
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "165", "-w", str(target), text], check=True)
        return sound(target)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "daemon" / "data" / "demo.mcap"
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    cuts = record(target)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {cuts} decisions of the clock")


if __name__ == "__main__":
    main()
