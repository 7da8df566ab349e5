"""Fits the numbers of `multimodal.retrieval.calibration` and writes them: `python -m benchmarks.fitting.calibration`.

Fitted on half of the material (see `material.moments`); `benchmarks.calibration` measures on the other half. A question
counts as one: its right moments together weigh 1, its wrong ones together `WRONG`, as in a recording of that many scenes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from benchmarks.material.moments import Asked, Item, heard_items, questions, seen_items, strangers, truth
from benchmarks.material.sentences import SENTENCES
from multimodal.embeddings import AudioModalityEncoder, ImageModalityEncoder, TextModalityEncoder
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.likeness import OwnSpace
from multimodal.retrieval.calibration import EVIDENCE_FLOOR
from multimodal.retrieval.relevance import FEATURES, Relevance

LIBRARY = Path(__file__).parents[2] / "multimodal"
TARGET = LIBRARY / "retrieval" / "data" / "calibration.json"
MEANS = LIBRARY / "embeddings" / "data" / "own_means.safetensors"
FIT_HALF = 0
WRONG = 6.0
RIGHT_PER_QUESTION, WRONG_PER_QUESTION = 8, 60
ALIKE_WRONG = 6.0
NEAR = 6
"""Times that a sentence on something near counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Questions beside views of items: features (N, labels, F), p (N, labels), the rest (N,)."""

    features: Tensor
    p: Tensor
    cosine: Tensor
    named: Tensor
    right: Tensor
    weight: Tensor


class Answer(nn.Module):
    """The formula of the calibration, to be fitted."""

    def __init__(self, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.relevance = nn.Parameter(torch.tensor([10.0, 10.0, 1.0, 2.0, 1.0]))
        self.bias = nn.Parameter(torch.tensor(-8.0))
        self.slope = nn.Parameter(torch.tensor(1.0))
        self.cosine = nn.Parameter(torch.tensor([5.0, 2.0]))
        self.intercept = nn.Parameter(torch.tensor([-1.0, -1.0]))

    def relevant(self, features: Tensor) -> Tensor:
        """(..., F) -> (...); a better fit of a name never makes an answer worse, a name elsewhere never better."""
        return torch.sigmoid(features @ self.weights() + self.bias)

    def weights(self) -> Tensor:
        return softplus(self.relevance) * torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0])

    def forward(self, pairs: Pairs) -> Tensor:
        """Log odds (N,)."""
        shares = pairs.p * self.relevant(pairs.features)  # (N, labels)
        evidence = shares.sum(1).clamp(max=1.0) if self.exclusive else 1 - (1 - shares).prod(1)
        logs = softplus(self.slope) * torch.log(evidence + EVIDENCE_FLOOR)
        return logs + softplus(self.cosine)[pairs.named] * pairs.cosine + self.intercept[pairs.named]


def words_to(items: Sequence[Item], asked: Sequence[Asked], right: NDArray[np.int8], vocabulary: Vocabulary,
             exclusive: bool) -> dict[str, list[float]]:
    """Parameters of `WordsTo` for one modality."""
    relevance = Relevance(vocabulary)
    kept = [row for row, question in enumerate(asked) if question.half == FIT_HALF]
    by_question = torch.from_numpy(np.stack([relevance.features(asked[row].vector, asked[row].text) for row in kept]))
    pairs = _pairs(items, [asked[row] for row in kept], right[kept], vocabulary, by_question)
    model = Answer(exclusive)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(1200):
        optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(
            model(pairs), pairs.right, weight=pairs.weight, reduction="sum") / pairs.weight.sum()
        (loss + 1e-6 * sum((p * p).sum() for p in model.parameters())).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    named = torch.tensor([float(asked[row].sort != "outside") for row in kept])
    known = _logistic(by_question[..., :4].amax(1), named, torch.where(named > 0, 1 / named.sum(), 1 / (1 - named).sum()))
    return {
        "relevance": _rounded([*model.weights().tolist(), float(model.bias.detach())]),
        "answer": _rounded([float(softplus(model.slope.detach())), *(
            float(value) for pair in zip(softplus(model.cosine).tolist(), model.intercept.tolist(), strict=True)
            for value in pair)]),
        "vocabulary": _rounded(known),
    }


def alike(items: Sequence[Item], half: int = FIT_HALF) -> list[float]:
    """Slope and bias over the cosine of two views in the encoder's own space: of one scene, or of two."""
    random = np.random.default_rng(2)
    some = [item for item in items if item.half == half]
    cosines, right, weights = [], [], []
    for item in some:
        native = [view.native / np.linalg.norm(view.native) for view in item.views]
        others = strangers(item, some, 30, random)
        for view, twin in item.twins:
            cosines.append(float(native[view] @ native[twin]))
            right.append(1.0)
            weights.append(1 / len(item.twins))
        for another in others:
            other = another.views[int(random.integers(len(another.views)))].native
            cosines.append(float(native[0] @ other / np.linalg.norm(other)))
            right.append(0.0)
            weights.append(ALIKE_WRONG / len(others))
    return _logistic(torch.tensor(cosines)[:, None], torch.tensor(right), torch.tensor(weights))


def said(encoder: TextModalityEncoder, half: int = FIT_HALF) -> list[float]:
    """Slope and bias over the cosine of a question and a sentence on its topic, or on another."""
    cosines, right = said_pairs(encoder, half)
    weights = torch.where(right > 0, 1 / right.sum(), ALIKE_WRONG / (1 - right).sum())
    return _logistic(cosines[:, None], right, weights)


def said_pairs(encoder: TextModalityEncoder, half: int) -> tuple[Tensor, Tensor]:
    """Cosines and whether they belong together: every question with every sentence of one half, the near ones again.

    Each question in words is asked of every sentence, so a sentence on something near is the common mistake.
    """
    rows = [row for i, row in enumerate(SENTENCES) if i % 2 == half]
    asked = [(i, q) for i, row in enumerate(rows) for q in row.questions]
    near = [(i, q) for i, row in enumerate(rows) for q in row.near]
    sentences = torch.stack([e.embedding for e in encoder([row.sentence for row in rows])])
    vectors = torch.stack([e.embedding for e in encoder([q for _, q in asked])])
    strange = torch.stack([e.embedding for e in encoder([q for _, q in near])])
    right = torch.zeros(len(asked), len(rows))
    right[torch.arange(len(asked)), torch.tensor([i for i, _ in asked])] = 1.0
    close = (strange * sentences[torch.tensor([i for i, _ in near])]).sum(1)
    cosines = torch.cat(((vectors @ sentences.T).flatten(), (strange @ sentences.T).flatten(), close.repeat(NEAR)))
    return cosines, torch.cat((right.flatten(), torch.zeros(len(cosines) - right.numel())))


def _pairs(items: Sequence[Item], asked: Sequence[Asked], right: NDArray[np.int8], vocabulary: Vocabulary,
           by_question: Tensor) -> Pairs:
    random = np.random.default_rng(3)
    number = {name: i for i, name in reversed(list(enumerate(vocabulary.names)))}
    own = np.array([item.half == FIT_HALF for item in items])
    features, p, cosine, named, truths, weights = [], [], [], [], [], []
    for row, one in enumerate(asked):
        for value, most, total in ((1, RIGHT_PER_QUESTION, 1.0), (0, WRONG_PER_QUESTION, WRONG)):
            chosen = np.flatnonzero((right[row] == value) & own)
            if len(chosen) > most:
                chosen = random.choice(chosen, most, replace=False)
            for column in map(int, chosen):
                views = items[column].views
                view = views[int(random.integers(len(views)))]
                features.append(by_question[row, [number[name] for name, _ in view.labels]])
                p.append([probability for _, probability in view.labels])
                cosine.append(float(one.vector @ view.vector))
                named.append(int(by_question[row, :, 2:4].any()))
                truths.append(float(value))
                weights.append(total / len(chosen))
    return Pairs(torch.stack(features), torch.tensor(p), torch.tensor(cosine), torch.tensor(named),
                 torch.tensor(truths), torch.tensor(weights))


def _logistic(columns: Tensor, right: Tensor, weights: Tensor) -> list[float]:
    """Weights, none below 0, and the bias."""
    raw = torch.zeros(columns.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([raw, bias], lr=0.05)
    for _ in range(3000):
        optimiser.zero_grad()
        logits = columns @ softplus(raw) + bias
        loss = binary_cross_entropy_with_logits(logits, right, weight=weights, reduction="sum") / weights.sum()
        (loss + 1e-6 * (softplus(raw) ** 2).sum()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return [*softplus(raw).tolist(), float(bias.detach())]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def own_mean(items: Sequence[Item], half: int = FIT_HALF) -> NDArray[np.float32]:
    """Mean of the views in their encoder's own space, as it is before any mean is taken away; an item counts as one."""
    return np.mean([np.mean([view.native for view in item.views], 0) for item in items if item.half == half], 0)


def measure_means() -> None:
    """Write what `multimodal.embeddings.likeness` takes away."""
    image, audio = ImageModalityEncoder(), AudioModalityEncoder()
    image.own, audio.own = OwnSpace(np.zeros(1280, np.float32)), OwnSpace(np.zeros(1024, np.float32))
    save_file({"image": own_mean(seen_items(image)), "audio": own_mean(heard_items(audio))}, MEANS)


def main() -> None:
    measure_means()
    image, audio, text = ImageModalityEncoder(), AudioModalityEncoder(), TextModalityEncoder()
    seen, heard = seen_items(image), heard_items(audio)
    fitted = {}
    for modality, items, vocabulary in (("image", seen, image.vocabulary), ("audio", heard, audio.vocabulary)):
        asked = questions(text, items, modality)
        right = truth(asked, items, text)
        fitted[modality] = words_to(items, asked, right, vocabulary, exclusive=modality == "image")
    likeness = {"image": alike(seen), "audio": alike(heard), "text": said(text)}
    found = {"features": FEATURES, "words_to": fitted, "alike": {name: _rounded(row) for name, row in likeness.items()}}
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(TARGET.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
