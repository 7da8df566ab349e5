"""Sounds with a name in words, made here from a sound bank, a speech synthesiser, a collection of samples and formulas.

    instruments, drums and effects   FluidR3 GM (Frank Wen, MIT; Debian's `fluid-soundfont-gm`), played by `fluidsynth`
    voices                           `espeak-ng` reading sentences of ours
    percussion and electronics       Sonic Pi's samples (CC0; Debian's `sonic-pi-samples`)
    noise, tones, wind, ticking      computed below

Each name brings several takes of 1.9 s. No animal but a bird and a crow, no machine but a helicopter: a free collection of
such recordings is in no package registry, and the generator knows nothing of what it never heard.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.material.labelled import sound
from benchmarks.material.packages import SONIC_PI, MaterialError, Package, folder
from multimodal.embeddings.spectrum import resample

FLUID = Package(
    name="fluid-soundfont-gm", kind="deb",
    keep=("usr/share/sounds/sf2/FluidR3_GM.sf2", "usr/share/doc/fluid-soundfont-gm/copyright"),
    digest="284099cbab1723b67ef8e4cdfebdc980b07e47733504ac103508fd438231e6c6",
)

RATE = 16_000
SAMPLES = 191 * 160
TAKES = 16
_SLOT = 2.5  # seconds of a take on the sequencer's time line; the tail rings out
_RENDERED = 48_000

Floats = NDArray[np.float32]


class Sound(NamedTuple):
    """One take: samples float32 (`SAMPLES`,) at 16 kHz, its peak at 0.5."""

    caption: str
    samples: Floats


def captions() -> list[str]:
    """Every name."""
    return [*_INSTRUMENTS.values(), *_DRUMS.values(), *_VOICES.values(), *_SAMPLES, *_FORMULAS]


def sounds(only: Collection[str] | None = None, takes: int = TAKES) -> Iterator[Sound]:
    """The takes of all names, or of those named; the same every time, whatever else is asked for.

    Raises:
        MaterialError: a package or a program is missing; the message names it.
    """
    for program in ("fluidsynth", "espeak-ng"):
        if shutil.which(program) is None:
            raise MaterialError(f"{program} is not installed: the Debian package has the same name")
    recipes: list[tuple[str, Callable[[np.random.Generator], Iterator[Floats]]]] = [
        *((name, partial(_instrument, key, name)) for key, name in _INSTRUMENTS.items()),
        *((name, partial(_drum, key)) for key, name in _DRUMS.items()),
        *((name, partial(_voice, key)) for key, name in _VOICES.items()),
        *((name, partial(_sampled, files)) for name, files in _SAMPLES.items()),
        *((name, partial(_computed, formula)) for name, formula in _FORMULAS.items()),
    ]
    for caption, recipe in recipes:
        if only is None or caption in only:
            rng = np.random.default_rng([7, zlib.crc32(caption.encode())])
            for take in islice(recipe(rng), takes):
                yield Sound(caption, take)


def _instrument(key: tuple[int, int], caption: str, rng: np.random.Generator) -> Iterator[Floats]:
    return _played([_phrase(rng, _range(caption)) for _ in range(TAKES)], *key)


def _drum(notes: Sequence[int], rng: np.random.Generator) -> Iterator[Floats]:
    return _played([_beats(rng, notes) for _ in range(TAKES)], 128, 0)


def _voice(voice: str, rng: np.random.Generator) -> Iterator[Floats]:
    for sentence in _SENTENCES:
        yield _level(_spoken(sentence, voice, pitch=int(rng.integers(30, 80))))


def _sampled(files: str, rng: np.random.Generator) -> Iterator[Floats]:
    for name in files.split():
        path = folder(SONIC_PI) / f"usr/share/sonic-pi/samples/{name}.flac"
        yield _level(sound(path, 4.0).astype(np.float32))


def _computed(formula: Callable[[np.random.Generator], Floats], rng: np.random.Generator) -> Iterator[Floats]:
    while True:
        yield _level(formula(rng))


class _Note(NamedTuple):
    at: float
    pitch: int
    seconds: float
    loud: int


def _range(caption: str) -> tuple[int, int]:
    low = ("bass", "tuba", "contrabass", "timpani", "bassoon", "drum", "helicopter", "gun", "applause", "shore")
    high = ("piccolo", "whistle", "glockenspiel", "celesta", "music box", "tinkling", "flute", "ocarina", "bird")
    if any(word in caption for word in low):
        return 31, 55
    return (64, 91) if any(word in caption for word in high) else (45, 78)


def _phrase(rng: np.random.Generator, pitches: tuple[int, int]) -> list[_Note]:
    """A long note, a melody, a chord or a broken chord."""
    root, loud = int(rng.integers(*pitches)), int(rng.integers(80, 120))
    kind = rng.integers(4)
    if kind == 0:
        return [_Note(0.0, root, 1.8, loud)]
    chord = [root + step for step in ((0, 4, 7), (0, 3, 7), (0, 5, 9))[rng.integers(3)]]
    if kind == 1:
        return [_Note(0.0, pitch, 1.7, loud) for pitch in chord]
    length = float(rng.uniform(0.2, 0.5))
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    steps = chord * 3 if kind == 2 else (root + rng.choice(scale, 8)).tolist()
    return [_Note(i * length, int(p), length * 1.1, loud) for i, p in enumerate(steps) if i * length < 1.7]


def _beats(rng: np.random.Generator, notes: Sequence[int]) -> list[_Note]:
    """One to eight strokes, evenly apart; of several drums any at each stroke."""
    count = int(rng.integers(1, 9)) if len(notes) == 1 else 8
    apart = 1.7 / count
    return [_Note(i * apart, int(rng.choice(notes)), apart, int(rng.integers(80, 125))) for i in range(count)]


def _played(phrases: Sequence[Sequence[_Note]], bank: int, number: int) -> Iterator[Floats]:
    with tempfile.TemporaryDirectory() as scratch:
        score, rendered = Path(scratch) / "score.mid", Path(scratch) / "out.wav"
        score.write_bytes(_midi(phrases, bank, number))
        bank_file = folder(FLUID) / "usr/share/sounds/sf2/FluidR3_GM.sf2"
        command = ["fluidsynth", "-ni", "-q", "-g", "0.5", "-R", "0", "-C", "0", "-r", str(_RENDERED), "-F", str(rendered),
                   str(bank_file), str(score)]
        subprocess.run(command, check=True, capture_output=True)
        whole = resample(_read(rendered), _RENDERED)
    for i in range(len(phrases)):
        yield _level(whole[round(i * _SLOT * RATE) :][:SAMPLES])


def _midi(phrases: Sequence[Sequence[_Note]], bank: int, number: int) -> bytes:
    """A Standard MIDI File of one track, 1000 ticks a second, one phrase every `_SLOT` seconds."""
    channel = 9 if bank == 128 else 0
    chosen = bytes([0xB0 | channel, 0, bank % 128]), bytes([0xC0 | channel, number])
    events: list[tuple[float, bytes]] = [(0.0, event) for event in chosen]
    for i, phrase in enumerate(phrases):
        for note in phrase:
            begin = i * _SLOT + 0.02 + note.at
            events.append((begin, bytes([0x90 | channel, note.pitch, note.loud])))
            events.append((begin + note.seconds, bytes([0x80 | channel, note.pitch, 0])))
    events.append((len(phrases) * _SLOT, b"\xff\x2f\x00"))
    track, now = bytearray(b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big")), 0  # half a second a quarter note
    for at, event in sorted(events, key=lambda pair: pair[0]):
        ticks = round(at * 1000)
        track += _variable(ticks - now) + event
        now = ticks
    header = b"MThd" + (6).to_bytes(4, "big") + b"\x00\x00\x00\x01" + (500).to_bytes(2, "big")
    return header + b"MTrk" + len(track).to_bytes(4, "big") + bytes(track)


def _variable(number: int) -> bytes:
    """Seven bits a byte, the high bit set on all but the last."""
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def _spoken(sentence: str, voice: str, pitch: int) -> Floats:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.wav"
        command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-w", str(out), sentence]
        subprocess.run(command, check=True, capture_output=True)
        with wave.open(str(out)) as file:
            return resample(_read(out), file.getframerate())


def _read(path: Path) -> Floats:
    """Mono float32 of a 16-bit file."""
    with wave.open(str(path)) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())  # (S, channels)
    return raw.astype(np.float32).mean(1) / 32768


def _level(samples: Floats) -> Floats:
    """Cut or filled up with silence to `SAMPLES`, its peak at 0.5."""
    cut = np.zeros(SAMPLES, np.float32)
    cut[: len(samples[:SAMPLES])] = samples[:SAMPLES]
    return (cut * (0.5 / max(float(np.abs(cut).max()), 1e-6))).astype(np.float32)


def _seconds() -> NDArray[np.float64]:
    return np.arange(SAMPLES) / RATE


def _noise(rng: np.random.Generator, slope: float) -> Floats:
    """Noise whose amplitude falls with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.normal(size=SAMPLES))
    spectrum /= np.maximum(np.arange(len(spectrum)), 40) ** slope
    return np.fft.irfft(spectrum, SAMPLES).astype(np.float32)


def _tone(rng: np.random.Generator) -> Floats:
    return np.sin(2 * np.pi * rng.uniform(300, 2000) * _seconds()).astype(np.float32)


def _beeping(rng: np.random.Generator) -> Floats:
    on = (_seconds() * rng.uniform(2, 5)) % 1 < 0.5
    return (np.sign(np.sin(2 * np.pi * rng.uniform(1500, 3000) * _seconds())) * on).astype(np.float32)


def _siren(rng: np.random.Generator) -> Floats:
    pitch = 900 + 400 * np.sin(2 * np.pi * rng.uniform(0.3, 3) * _seconds() + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return (np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)).astype(np.float32)


def _wind(rng: np.random.Generator) -> Floats:
    gusts = 1 + 0.7 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * _seconds() + rng.uniform(0, 6))
    return (_noise(rng, 1.0) * gusts).astype(np.float32)


def _ticking(rng: np.random.Generator) -> Floats:
    out = np.zeros(SAMPLES, np.float32)
    click = (rng.normal(size=160) * np.exp(-np.arange(160) / 25)).astype(np.float32)
    every = int(RATE * rng.uniform(0.25, 0.6))
    for at in range(int(rng.integers(0, every)), SAMPLES - 160, every):
        out[at : at + 160] += click
    return out


def _rain(rng: np.random.Generator) -> Floats:
    drops = np.zeros(SAMPLES)
    where = rng.integers(0, SAMPLES, int(rng.integers(300, 2000)))
    drops[where] = rng.exponential(size=len(where))
    heard = np.convolve(drops * rng.normal(size=SAMPLES), np.exp(-np.arange(60) / 12), "same")
    return (heard + 0.1 * rng.normal(size=SAMPLES)).astype(np.float32)


_FORMULAS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "white noise": lambda rng: _noise(rng, 0.0),
    "a low rumble": lambda rng: _noise(rng, 1.6),
    "a pure tone": _tone,
    "an alarm clock beeping": _beeping,
    "a siren": _siren,
    "wind blowing": _wind,
    "a clock ticking": _ticking,
    "rain": _rain,
}

_INSTRUMENTS: dict[tuple[int, int], str] = {
    (0, 0): "a grand piano", (0, 1): "a bright piano", (0, 3): "a honky-tonk piano", (0, 4): "an electric piano",
    (0, 6): "a harpsichord", (0, 7): "a clavinet", (0, 8): "a celesta", (0, 9): "a glockenspiel", (0, 10): "a music box",
    (0, 11): "a vibraphone", (0, 12): "a marimba", (0, 13): "a xylophone", (0, 14): "tubular bells",
    (0, 15): "a hammered dulcimer", (0, 16): "an electric organ", (0, 18): "a rock organ", (0, 19): "a church organ",
    (0, 20): "a reed organ", (0, 21): "an accordion", (0, 22): "a harmonica", (0, 23): "a bandoneon",
    (0, 24): "a classical guitar", (0, 25): "an acoustic guitar", (0, 26): "a jazz guitar", (0, 27): "an electric guitar",
    (0, 28): "a muted guitar", (0, 30): "a distorted guitar", (0, 31): "guitar harmonics", (0, 32): "a double bass plucked",
    (0, 33): "a bass guitar", (0, 36): "a slap bass", (0, 38): "a synthesizer bass", (0, 40): "a violin", (0, 41): "a viola",
    (0, 42): "a cello", (0, 43): "a contrabass", (0, 44): "tremolo strings", (0, 45): "pizzicato strings", (0, 46): "a harp",
    (0, 47): "timpani", (0, 48): "a string orchestra", (0, 50): "synthesizer strings", (0, 52): "a choir singing",
    (0, 53): "voices singing ooh", (0, 55): "an orchestra hit", (0, 56): "a trumpet", (0, 57): "a trombone",
    (0, 58): "a tuba", (0, 59): "a muted trumpet", (0, 60): "a french horn", (0, 61): "a brass band",
    (0, 62): "synthesizer brass", (0, 64): "a soprano saxophone", (0, 65): "an alto saxophone", (0, 66): "a tenor saxophone",
    (0, 67): "a baritone saxophone", (0, 68): "an oboe", (0, 69): "an english horn", (0, 70): "a bassoon",
    (0, 71): "a clarinet", (0, 72): "a piccolo", (0, 73): "a flute", (0, 74): "a recorder", (0, 75): "a pan flute",
    (0, 76): "blowing over a bottle", (0, 77): "a shakuhachi", (0, 78): "somebody whistling", (0, 79): "an ocarina",
    (0, 80): "a square wave synthesizer", (0, 81): "a sawtooth synthesizer", (0, 82): "a calliope",
    (0, 89): "a warm synthesizer pad", (0, 92): "rubbing a glass", (0, 95): "a sweeping synthesizer",
    (0, 104): "a sitar", (0, 105): "a banjo", (0, 106): "a shamisen", (0, 107): "a koto", (0, 108): "a thumb piano",
    (0, 109): "bagpipes", (0, 110): "a fiddle", (0, 112): "tinkling bells", (0, 113): "an agogo bell",
    (0, 114): "steel drums", (0, 115): "a wood block", (0, 116): "a taiko drum", (0, 117): "a tom drum",
    (0, 118): "an electronic drum", (0, 119): "a reversed cymbal", (0, 120): "fingers sliding on guitar strings",
    (0, 121): "somebody breathing", (0, 122): "waves on the sea shore", (0, 123): "a bird singing",
    (0, 124): "a telephone ringing", (0, 125): "a helicopter", (0, 126): "applause", (0, 127): "a gun shot",
    (8, 14): "a church bell", (8, 24): "a ukulele", (8, 25): "a twelve string guitar", (8, 26): "a hawaiian steel guitar",
    (8, 31): "guitar feedback", (16, 25): "a mandolin", (8, 80): "a sine wave",
}  # fmt: skip

_DRUMS: dict[tuple[int, ...], str] = {
    (35,): "a bass drum", (38,): "a snare drum", (39,): "hand clapping", (41, 43, 45, 47): "tom-toms", (42,): "a hi-hat",
    (49,): "a crash cymbal", (51,): "a ride cymbal", (54,): "a tambourine", (56,): "a cowbell", (58,): "a vibraslap",
    (60, 61): "bongo drums", (62, 63, 64): "congas", (65, 66): "timbales", (70,): "maracas", (71, 72): "a referee's whistle",
    (73, 74): "a guiro", (75,): "claves", (78, 79): "a cuica", (80, 81): "a triangle", (83,): "jingle bells",
    (85,): "castanets", (35, 38, 42, 46): "a drum kit", (35, 38, 42, 49): "a rock drummer",
}  # fmt: skip

_VOICES = {"en-us+m3": "a man speaking", "en-us+f3": "a woman speaking", "en-us+whisper": "somebody whispering"}

_SENTENCES = (
    "the tea is ready in the kitchen", "we leave early in the morning", "has anybody seen the keys", "it will rain tonight",
    "please close the window", "the train is late again", "I have never been there", "what a beautiful garden",
    "turn left after the bridge", "this is the first of four parts", "could you say that again", "dinner is at seven",
    "the children are asleep", "nobody answered the door", "he bought bread and milk", "one two three four five six",
)

_SAMPLES = {
    "a crow cawing": "misc_crow", "a burp": "misc_burp", "a door closing": "perc_door", "a cash register": "perc_till",
    "scratching a record": "vinyl_scratch vinyl_backspin vinyl_rewind", "a hiss": "vinyl_hiss",
    "a robot voice": "mehackit_robot1 mehackit_robot2 mehackit_robot3 mehackit_robot4",
    "tabla drums": "tabla_dhec tabla_ghe1 tabla_ghe4 tabla_ke1 tabla_na tabla_re tabla_tas1 tabla_te1 tabla_tun1 loop_tabla",
    "a whoosh": "ambi_swoosh ambi_dark_woosh perc_swash perc_swoosh", "snapping fingers": "perc_snap perc_snap2",
    "breakbeat drums": "loop_amen loop_amen_full loop_breakbeat",
    "an electronic kick drum": "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_tek bd_zum",
    "an electronic beep": "elec_beep elec_blip elec_blip2 elec_ping elec_plip",
}  # fmt: skip
