"""Pictures and sounds with a name in words, from the packages of `material`.

Two collections that share no file: the stamps (photographed objects cut out, captions by their authors) carry the
retrieval figures; the scenes (whole photographs and recordings, named by their file names or below) are for fitting
and for measuring what has been fitted.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.material.packages import GCOMPRIS, SONIC_PI, STAMPS, MaterialError, folder

RATE = 16_000


class Labelled(NamedTuple):
    """A file and what a person would call it, as a phrase."""

    caption: str
    path: Path


def stamp_photos() -> list[Labelled]:
    """Photographed objects, each with its author's caption; drawings, signs and mirrored doubles left out."""
    found = []
    for path in sorted(_stamps().rglob("*.png")):
        parts = path.relative_to(_stamps()).parts
        if {"cartoon", "roadsigns"} & set(parts) or path.stem.endswith("_mirror"):
            continue
        if caption := _caption(path):
            found.append(Labelled(caption, path))
    return found


def stamp_sounds() -> list[Labelled]:
    """Sounds of the stamps' objects; the spoken descriptions beside them left out."""
    found = []
    for path in sorted((*_stamps().rglob("*.ogg"), *_stamps().rglob("*.wav"))):
        if "_desc" in path.stem or re.search(r"_[a-z]{2}(_[A-Z]{2})?$", path.stem) or "roadsigns" in path.parts:
            continue
        caption = _caption(path)
        if caption and len(caption.split()) <= 6:
            found.append(Labelled(caption, path))
    return found


def scene_photos() -> list[Labelled]:
    """Whole photographs of animals, tools, buildings and things."""
    found = []
    for group, names in _SCENE_PHOTOS.items():
        root = _gcompris(group)
        for path in sorted(root.rglob("*.webp")):
            key = re.sub(r"\d+$", "", path.stem)
            if caption := names.get(path.stem, names.get(key)):
                found.append(Labelled(caption, path))
            elif "*" in names:
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).replace("_", " ").lower()
                found.append(Labelled(f"{'an' if words[0] in 'aeiou' else 'a'} {words}", path))
    return found


def scene_sounds() -> list[Labelled]:
    """Recordings of animals, machines, weather and instruments."""
    found = []
    for group, names in _SCENE_SOUNDS.items():
        root = folder(SONIC_PI) / "usr/share/sonic-pi/samples" if group == "sonic-pi" else _gcompris(group)
        paths = {path.stem: path for path in root.rglob("*") if path.suffix in {".ogg", ".wav", ".flac"}}
        found += [Labelled(caption, paths[name]) for name, caption in names.items()]
    return found


def picture(path: Path, background: int = 255) -> NDArray[np.uint8]:
    """RGB pixels (H, W, 3); what is transparent shows the grey value `background`."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise MaterialError(f"{path.name}: not a picture that OpenCV reads")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    rgb = pixels[..., 2::-1]
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        rgb = np.round(rgb * alpha + background * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(rgb)


def sound(path: Path, seconds: float = 10.0) -> NDArray[np.int16]:
    """The first seconds as mono samples (n,) at 16 kHz.

    Raises:
        MaterialError: PyAV, which brings the decoders, is not installed.
    """
    try:
        import av
    except ImportError as missing:
        raise MaterialError("sound files are decoded by PyAV: install the extra `media`") from missing
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    chunks: list[NDArray[np.int16]] = []
    wanted = Fraction(seconds) * RATE
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            chunks += [out.to_ndarray()[0] for out in resampler.resample(frame)]
            if sum(map(len, chunks)) >= wanted:
                break
        else:
            chunks += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(chunks)[:int(wanted)] if chunks else np.zeros(0, np.int16)


def plain(caption: str) -> str:
    """As somebody would type it."""
    return re.sub(r"\s*\(.*?\)", "", caption.lower()).strip(" .!?").translate(str.maketrans("", "", "“”\""))


def _stamps() -> Path:
    return folder(STAMPS) / "usr/share/tuxpaint/stamps"


def _gcompris(group: str) -> Path:
    resource, _, below = group.partition("/")
    root = folder(GCOMPRIS) / "usr/share/gcompris-qt/rcc" / resource
    return next(path for path in sorted(root.rglob(below)) if path.is_dir()) if below else root


def _caption(path: Path) -> str | None:
    note = path.with_suffix(".txt")
    if not note.exists():
        return None
    first = note.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    return first or None


_SCENE_PHOTOS: dict[str, dict[str, str]] = {
    "erase": {"*": "", "calf": "a calf", "camels": "camels", "meerkats": "meerkats", "swans": "swans",
              "spoonbills": "spoonbills", "long_nosed_monkey": "a proboscis monkey", "flying_fox": "a flying fox bat"},
    "explore_world_animals": {"*": "", "dragon": "a komodo dragon"},
    "categorization/tools": {
        "cuttingTool": "a cutting tool", "hammer": "a hammer", "measuringTape": "a measuring tape",
        "multimeter": "a multimeter", "nailCutter": "nail clippers", "plier": "pliers", "scissors": "scissors",
        "screwDriver": "a screwdriver", "sickle": "a sickle", "spray": "a spray bottle", "tweezer": "tweezers",
        "wrench": "a wrench", "sideCutter": "side cutters"},
    "categorization/others": {
        "baseball": "a baseball", "blackslate": "a blackboard", "bucket": "a bucket", "bulb": "a light bulb",
        "chair": "a chair", "cup": "a cup", "erasers": "rubber erasers", "igloo": "an igloo", "knife": "a knife",
        "pan": "a frying pan", "pencil": "a pencil", "pillow": "a pillow", "plate": "a plate", "spoons": "spoons",
        "volleyball": "a volleyball", "weighingMachine": "a weighing scale"},
    "categorization/renewable": {"dam": "a dam", "solar": "solar panels", "windmill": "a windmill"},
    "categorization/fishes": {"fish14": "a hammerhead shark", "fish25": "a goldfish", "fish1": "a stingray",
                              "fish": "a fish"},
    "categorization/monuments": {
        "arcDeTriomphe": "a triumphal arch", "cathedral": "a cathedral", "colosseum": "the colosseum",
        "eiffelTower": "the eiffel tower", "empireState": "a skyscraper", "greatPyramid": "a pyramid",
        "greatWall": "the great wall", "leaningTowerOfPisa": "a leaning tower", "mountRushmore": "mount rushmore",
        "operaHouse": "an opera house", "parthenon": "a greek temple", "statueOfLiberty": "the statue of liberty",
        "tajMahal": "the taj mahal", "zimniPalace": "a palace", "burj": "a skyscraper"},
    "explore_monuments/france": {
        "chateaudeChambord": "a castle", "eiffelTower": "the eiffel tower", "pontduGard": "an aqueduct",
        "reimsCathedral": "a cathedral", "montStMichel": "a monastery on an island"},
    "explore_monuments/germany": {"neuschwansteinCastle": "a castle", "wormsCathedral": "a cathedral",
                                  "schwerinPalace": "a palace"},
    "explore_monuments/india": {"greatStupa": "a stupa", "mysorePalace": "a palace", "goldenTemple": "a temple"},
    "explore_monuments/egypt": {"bentPyramid": "a pyramid", "meidumPyramid": "a pyramid"},
}

_SCENE_SOUNDS: dict[str, dict[str, str]] = {
    "explore_farm_animals": {
        "cat": "a cat meowing", "chickens": "chickens clucking", "cow": "a cow mooing", "dog": "a dog barking",
        "duck": "a duck quacking", "horse": "a horse neighing", "owl": "an owl hooting", "pig": "a pig grunting",
        "sheep": "a sheep bleating"},
    "instruments": {
        "accordion": "an accordion", "banjo": "a banjo", "bongo": "bongo drums", "castanets": "castanets",
        "cello": "a cello", "clarinet": "a clarinet", "cymbal": "a cymbal", "drum_kit": "a drum kit",
        "electric_guitar": "an electric guitar", "flute_traversiere": "a flute", "guitar": "an acoustic guitar",
        "harmonica": "a harmonica", "harp": "a harp", "horn": "a french horn", "maracas": "maracas",
        "organ": "an organ", "piano": "a piano", "saxophone": "a saxophone", "snare_drum": "a snare drum",
        "tambourine": "a tambourine", "timpani": "timpani", "triangle": "a triangle", "trombone": "a trombone",
        "trumpet": "a trumpet", "tuba": "a tuba", "violin": "a violin"},
    "memory-sound": {
        "LRApplauses_1_LA_cut": "people applauding", "LRBark_1_LA_cut": "a dog barking",
        "LRBark_3_LA_cut": "a barking dog", "LRBuddhist_gong_05_LA": "a gong", "LRDoor_Open_2_LA": "a door opening",
        "LRFactory_noise_01_LA": "a machine in a factory", "LRFrogsInPondDuringStormLACut": "frogs croaking",
        "LRHeart_beat_01_LA": "a heart beating", "LRHits_01_LA": "hammering",
        "LRRain_in_garden_01_LA_cut": "rain falling", "LRRing_01_LA": "a bell ringing",
        "LRStartAndStopCarEngine1LACut": "a car engine starting", "LRTrain_slowing_down_01_LA_cut": "a train",
        "guitar_melody": "somebody playing the guitar"},
    "canal_lock": {"water_fill": "water pouring", "door_open": "a creaking door"},
    "clickgame": {"bubble": "a bubble", "drip": "a water drop"},
    "guessnumber": {"helicopter": "a helicopter"},
    "melody": {"knock": "knocking on wood", "xylofon_son1": "a xylophone"},
    "money": {"money1": "coins"},
    "railroad": {"train": "a steam train"},
    "reversecount": {"icy_walk": "footsteps in the snow"},
    "scalesboard": {"metal_hit": "metal being hit"},
    "traffic": {"car": "a car passing by"},
    "watercycle": {"harbor1": "seagulls at the harbour"},
    "sonic-pi": {
        "misc_burp": "a burp", "misc_crow": "a crow", "misc_cineboom": "an explosion", "perc_bell": "a bell",
        "perc_door": "a door slamming", "perc_snap": "finger snapping", "perc_till": "a cash register",
        "drum_cowbell": "a cowbell", "drum_roll": "a drum roll", "drum_cymbal_open": "a crash cymbal",
        "loop_amen": "drums", "loop_tabla": "tabla drums", "loop_safari": "percussion", "ambi_choir": "a choir singing",
        "ambi_piano": "a piano playing", "ambi_drone": "a drone", "ambi_swoosh": "a whoosh",
        "ambi_sauna": "water sizzling", "guit_em9": "a guitar chord", "elec_beep": "a beep",
        "loop_3d_printer": "a printer", "vinyl_hiss": "hiss", "vinyl_scratch": "scratching a record",
        "mehackit_robot1": "a robot voice", "mehackit_phone1": "a telephone"},
}
