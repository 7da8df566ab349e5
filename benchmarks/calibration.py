"""How far the confidence of an answer can be trusted: on the half of the material that nothing was fitted to.

Single answers: expected calibration error (ten bins of equal width), and of the answers at confidence 0.5 and more how many
are right (precision), of the right ones how many are there (recall). A question's right and wrong answers weigh 1 : 6.

Whole recordings: small ones are drawn - eight scenes of five moments, a held-out photograph and sound each - and asked what
is in them (is the first answer of the right scene, and is it given as a match?), what is not in them though nameable, and
what cannot be named at all (is a match refused?).

"No confident match" is an answer with a precision and a recall of its own: it is right where nothing of the recording answers
the question, because the thing is not there (in the vocabulary) or because the encoder has no name for it (outside of it, and
then "outside vocabulary" is the same answer, told better). Both are counted against the questions that have an answer in the
recording, which weigh as much as those that have none; so silence to all would have a precision of .5.
"""

from __future__ import annotations

import json as json_lines
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fitting.calibration import FIT_HALF, WRONG, said_pairs
from benchmarks.material.moments import Asked, Item, View, heard_items, questions, seen_items, strangers, truth
from benchmarks.material.packages import MaterialError
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.embeddings.runtime import Device
from multimodal.errors import MultimodalError
from multimodal.retrieval.calibration import Modality, SearchCalibration

SCENES, MOMENTS, RECORDINGS = 8, 5, 60
SURE = 0.5


class _Candidate(NamedTuple):
    score: float
    labels: tuple[tuple[str, float], ...]
    quality: float


class _Question(NamedTuple):
    modality: str
    vector: NDArray[np.float32]
    text: str | None = None
    labels: tuple[tuple[str, float], ...] = ()


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the figures; 2 where material or models are missing."""
    try:
        figures = measure(device)
    except (MaterialError, MultimodalError) as error:
        print(json_lines.dumps({"error": str(error)}) if json else f"bench calibration: {error}")
        return 2
    if json:
        print(json_lines.dumps(figures))
        return 0
    for name, row in figures.items():
        print(name)
        for key, value in row.items():
            print(f"  {key:48s} {value:6.3f}")
    return 0


def measure(device: Device = "auto") -> dict[str, dict[str, float]]:
    """By what is asked for and of what."""
    image, audio = ImageModalityEncoder(device=device), AudioModalityEncoder(device=device)
    text = TextModalityEncoder(device=device)
    calibration = SearchCalibration({"image": image.vocabulary, "audio": audio.vocabulary})
    figures: dict[str, dict[str, float]] = {}
    both: tuple[tuple[Modality, list[Item]], ...] = (("image", seen_items(image)), ("audio", heard_items(audio)))
    for modality, items in both:
        asked = questions(text, items, modality)
        figures[f"words to {modality}"] = words_to(calibration, items, asked, truth(asked, items, text), modality)
        figures[f"{modality} to {modality}"] = alike(calibration, items, modality)
    cosines, right = (column.numpy() for column in said_pairs(text, 1 - FIT_HALF))
    confidence = np.array(calibration.confidence(
        [_Candidate(float(c), (), 1.0) for c in cosines], _Question("text", np.zeros(384, np.float32)), "text"))
    figures["words to words"] = _trust(confidence, right, np.where(right > 0, 1 / right.sum(), WRONG / (1 - right).sum()))
    return figures


def words_to(calibration: SearchCalibration, items: Sequence[Item], asked: Sequence[Asked], right: NDArray[np.int8],
             modality: Modality) -> dict[str, float]:
    """Questions in words to moments of one modality."""
    held = np.array([item.half != FIT_HALF for item in items])
    rows = [row for row, question in enumerate(asked) if question.half != FIT_HALF]
    confidences, truths, weights = [], [], []
    for row in rows:
        for value, total in ((1, 1.0), (0, WRONG)):
            columns = np.flatnonzero((right[row] == value) & held)
            if len(columns) == 0:
                continue
            views = [view for column in columns for view in items[int(column)].views]
            confidences += _confidences(calibration, views, asked[row], modality)
            truths += [float(value)] * len(views)
            weights += [total / len(views)] * len(views)
    figures = _trust(np.array(confidences), np.array(truths), np.array(weights))
    known = {row: calibration.in_vocabulary(_asked(asked[row]), modality) for row in rows}

    def confident(row: int, views: Sequence[View]) -> NDArray[np.float64]:
        return np.array(_confidences(calibration, views, asked[row], modality)) * known[row]

    figures |= _recordings([item for item in items if item.half != FIT_HALF], right[:, held],
                           {row: asked[row].sort for row in rows}, known, confident)
    outside = [row for row in rows if asked[row].sort == "outside"]
    absent = [row for row in rows if asked[row].sort == "absent"]
    figures["nameable questions known to be so"] = float(np.mean([known[row] for row in absent]))
    figures["unnameable questions known to be so"] = float(np.mean([not known[row] for row in outside]))
    return figures


def alike(calibration: SearchCalibration, items: Sequence[Item], modality: Modality) -> dict[str, float]:
    """Twins and strangers, by the cosine in the encoder's own space."""
    random = np.random.default_rng(4)
    held = [item for item in items if item.half != FIT_HALF]
    scores, right, weights = [], [], []
    for item in held:
        native = [view.native / np.linalg.norm(view.native) for view in item.views]
        others = strangers(item, held, 20, random)
        scores += [float(native[a] @ native[b]) for a, b in item.twins]
        right += [1.0] * len(item.twins)
        weights += [1 / len(item.twins)] * len(item.twins)
        for stranger in others:
            other = stranger.views[int(random.integers(len(stranger.views)))].native
            scores.append(float(native[0] @ other / np.linalg.norm(other)))
            right.append(0.0)
            weights.append(WRONG / len(others))
    confidence = calibration.confidence(
        [_Candidate(s, (), 1.0) for s in scores], _Question(modality, np.zeros(384, np.float32)), modality)
    return _trust(np.array(confidence), np.array(right), np.array(weights))


def _recordings(items: Sequence[Item], right: NDArray[np.int8], sorts: Mapping[int, str], known: Mapping[int, bool],
                confident: Callable[[int, Sequence[View]], NDArray[np.float64]]) -> dict[str, float]:
    random = np.random.default_rng(5)
    keys = ("first", "matched", "first known", "matched known", "absent", "elsewhere", "out", "named so", "refused")
    counts: dict[str, list[float]] = {key: [] for key in keys}
    for _ in range(RECORDINGS):
        scenes = [int(i) for i in random.choice(len(items), SCENES, replace=False)]
        views = [(scene, items[scene].views[i % len(items[scene].views)]) for scene in scenes for i in range(MOMENTS)]
        for row, sort in sorts.items():
            answers = [scene for scene in scenes if right[row, scene] == 1]
            if any(right[row, scene] == -1 for scene in scenes):
                continue
            confidences = confident(row, [view for _, view in views])
            best = int(confidences.argmax())
            if answers:
                hit = views[best][0] in answers
                for name in ("", " known") if known[row] else ("",):
                    counts["first" + name].append(hit and known[row])
                    counts["matched" + name].append(hit and confidences[best] >= SURE)
                counts["refused"].append(confidences[best] < SURE)
            else:
                key = {"absent": "absent", "outside": "out"}.get(sort, "elsewhere")
                counts[key].append(float(confidences[best] >= SURE))
                if sort == "outside":
                    counts["named so"].append(not known[row])
    mean: dict[str, float] = {key: float(np.mean(values)) for key, values in counts.items()}
    here = 1 - np.mean(counts["absent"] + counts["elsewhere"]), 1 - np.mean(counts["out"])
    silence = {}
    for kind, caught in (("in vocabulary", here[0]), ("outside vocabulary", here[1]), ("both", sum(here) / 2)):
        silence[f"no confident match, {kind}: precision"] = float(caught / (caught + mean["refused"]))
        silence[f"no confident match, {kind}: recall"] = float(caught)
    return silence | {
        "recordings: unnameable question told as such": mean["named so"],
        "recordings: false match, thing of another recording": mean["elsewhere"],
        "recordings: the right scene comes first": mean["first"],
        "recordings: ... and is a match": mean["matched"],
        "recordings: right scene first, if nameable": mean["first known"],
        "recordings: ... and is a match, if nameable": mean["matched known"],
        "recordings: false match, absent thing": mean["absent"],
        "recordings: false match, unnameable question": mean["out"],
    }


def _confidences(calibration: SearchCalibration, views: Sequence[View], question: Asked, modality: Modality) -> list[float]:
    candidates = [_Candidate(float(question.vector @ v.vector), v.labels, v.quality) for v in views]
    return calibration.confidence(candidates, _asked(question), modality)


def _asked(question: Asked) -> Any:
    return _Question("text", question.vector, question.text)


def _trust(confidence: NDArray[np.float64], right: NDArray[Any], weight: NDArray[Any]) -> dict[str, float]:
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = 0.0
    for number in range(10):
        inside = bins == number
        if (total := weight[inside].sum()) > 0:
            gap = abs((confidence - right)[inside] @ weight[inside]) / total
            error += gap * total / weight.sum()
    sure, high = confidence >= SURE, confidence >= 0.8
    return {
        "expected calibration error": float(error),
        "precision at 0.5": float((right * weight)[sure].sum() / max(weight[sure].sum(), 1e-12)),
        "recall at 0.5": float((right * weight)[sure].sum() / (right * weight).sum()),
        "right at confidence 0.8 and more": float((right * weight)[high].sum() / max(weight[high].sum(), 1e-12)),
    }
