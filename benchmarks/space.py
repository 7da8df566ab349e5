"""How good the shared space is, and what a learned projection adds to it: `sensorium bench space`.

On the captioned pictures and sounds of `bench retrieval`. What is learned (centres, projections) is learned from the captions
of four fifths of the words and measured on the rest, in five turns: no caption that is asked for was ever learned from.
"""

from __future__ import annotations

import json as json_documents
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from benchmarks.material.labelled import (
    RATE,
    picture,
    plain,
    scene_photos,
    scene_sounds,
    sound,
    stamp_photos,
    stamp_sounds,
)
from benchmarks.material.packages import MaterialError
from benchmarks.measuring import Figure, report
from benchmarks.retrieval import LONGEST_CAPTION
from multimodal.embeddings import (
    AudioModalityEncoder,
    CoherenceBaseline,
    CrossModalProjection,
    ImageModalityEncoder,
    SharedEmbeddingSpace,
    TextModalityEncoder,
)
from multimodal.embeddings.measures import alignment, cka, modality_gap, ranks, uniformity
from multimodal.embeddings.runtime import Device
from multimodal.errors import MultimodalError
from multimodal.types import ModalityEmbedding

TURNS = 5
WIDER, NARROWER = 512, 128

Ranker = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(rows to learn from (bool), rows to ask for) -> their vectors and their captions' vectors, to be compared."""


class Collection:
    """Captioned things of one kind: their place in the shared space, the encoder's own vectors, their captions' place."""

    def __init__(
        self, thing: str, captions: Sequence[str], entries: Sequence[ModalityEmbedding], text: TextModalityEncoder
    ) -> None:
        self.thing = thing
        self.captions = list(captions)
        self.placed = torch.stack([entry.embedding for entry in entries])
        self.native = torch.stack([entry.metadata["native"] for entry in entries])
        self.text = torch.stack([entry.embedding for entry in text(self.captions)])
        words = sorted(set(captions))
        drawn = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).tolist()
        turn = {words[number]: place % TURNS for place, number in enumerate(drawn)}
        self.turn = torch.tensor([turn[caption] for caption in captions])


def run(json: bool = False, device: Device = "auto") -> int:
    """Print the figures; 1 where a goal is missed, 2 where material or models cannot be had."""
    try:
        collections = load(device)
    except (MaterialError, MultimodalError) as error:
        print(json_documents.dumps({"error": str(error)}) if json else f"bench space: {error}")
        return 2
    figures = [*_noise(), *_shown(collections[0])]
    for collection in collections:
        figures += _agreement(collection)
        figures += _held_out(collection)
    notes = [
        "R@10 of held-out captions among the held-out things, both ways averaged; projections learn from native vectors.",
        "Training pays where spaces are bent and pairs are many (the tests show it); a few hundred leave it at the turn.",
        "Joining two towers that share only text is measured on made-up spaces, in the tests: there are none here.",
    ]
    return report("space", figures, notes=notes, as_json=json)


def load(device: Device) -> list[Collection]:
    """Pictures and sounds with a caption of a few words."""
    text = TextModalityEncoder(device=device)
    see, hear = ImageModalityEncoder(device=device), AudioModalityEncoder(device=device)
    photos = [one for one in (*stamp_photos(), *scene_photos()) if len(one.caption.split()) <= LONGEST_CAPTION]
    sounds = [one for one in (*stamp_sounds(), *scene_sounds()) if len(one.caption.split()) <= LONGEST_CAPTION]
    return [
        Collection("picture", [plain(one.caption) for one in photos],
                   [see(picture(one.path)) for one in photos], text),
        Collection("sound", [plain(one.caption) for one in sounds],
                   [hear(sound(one.path), sample_rate=RATE) for one in sounds], text),
    ]  # fmt: skip


def _noise() -> list[Figure]:
    dice = torch.Generator().manual_seed(0)
    a, b = torch.randn(300, 384, generator=dice), torch.randn(300, 384, generator=dice)
    return [
        Figure("CKA of noise with noise, debiased", abs(cka(a, b)), "", 0.02, most=True),
        Figure("the same, biased", cka(a, b, debiased=False), "", note="why it is not used"),
    ]


def _shown(pictures: Collection) -> list[Figure]:
    """The 384 dimensions in others: the largest change of a cosine."""
    x = pictures.placed
    upper = torch.triu(torch.ones(len(x), len(x), dtype=torch.bool), diagonal=1)
    cosines = (x @ x.T)[upper]

    def off(space: SharedEmbeddingSpace) -> Tensor:
        y = space.encode(x)
        return ((y @ y.T)[upper] - cosines).abs()

    narrow, fitted = SharedEmbeddingSpace(384, NARROWER), SharedEmbeddingSpace(384, NARROWER)
    kept = fitted.fit_shown(torch.cat([x, pictures.text]))
    return [
        Figure(f"largest change of a cosine, shown in {WIDER}", float(off(SharedEmbeddingSpace(384, WIDER)).max()), "",
               1e-5, most=True),
        Figure(f"mean change of a cosine, shown in {NARROWER}", float(off(narrow).mean()), "", note="a random plane"),
        Figure(f"mean change of a cosine, shown in {NARROWER}, fitted", float(off(fitted).mean()), "",
               note=f"the plane that keeps {kept:.1%} of the power"),
    ]  # fmt: skip


def _agreement(own: Collection) -> list[Figure]:
    """What the shared space itself is like."""
    name = f"{own.thing} and caption"
    z = CoherenceBaseline.measure({"thing": own.placed, "text": own.text})
    cosines = (own.placed * own.text).sum(1)
    scores = [z.z_scores({"text|thing": float(c)}, {})["text|thing"] for c in cosines]
    return [
        Figure(f"CKA, {name}", cka(own.placed, own.text), "", note=f"encoder's own {cka(own.native, own.text):.2f}"),
        Figure(f"alignment, {name}", alignment(own.placed, own.text), "", note="0 is best"),
        Figure(f"uniformity of {own.thing}s", uniformity(own.placed), "",
               note=f"captions {uniformity(own.text):.2f}, -4 is best"),
        Figure(f"modality gap, {name}", modality_gap(own.placed, own.text), ""),
        Figure(f"coherence z, {name}", sum(scores) / len(scores), "deviations", note="0 for shuffled pairs"),
    ]  # fmt: skip


def _held_out(own: Collection) -> list[Figure]:
    """R@10 on captions that nothing was learned from."""

    def shared(learn: Tensor, ask: Tensor) -> tuple[Tensor, Tensor]:
        return own.placed[ask], own.text[ask]

    def centred(learn: Tensor, ask: Tensor) -> tuple[Tensor, Tensor]:
        space = SharedEmbeddingSpace(384)
        space.centre("image", own.placed[learn])
        space.centre("text", own.text[learn])
        return space.centred("image", own.placed[ask]), space.centred("text", own.text[ask])

    def turned(learn: Tensor, ask: Tensor) -> tuple[Tensor, Tensor]:
        projection = CrossModalProjection(own.native.shape[1], 384, hidden_dim=0)
        projection.start(own.native[learn], own.text[learn])
        return _apply(projection, own, ask)

    def trained(learn: Tensor, ask: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        projection = CrossModalProjection(own.native.shape[1], 384, dropout=0.3)
        projection.fit(own.native[learn], own.text[learn], epochs=40, patience=5)
        return _apply(projection, own, ask)

    def both(learn: Tensor, ask: Tensor) -> tuple[Tensor, Tensor]:
        sides = zip(turned(learn, ask), centred(learn, ask), strict=True)
        thing, text = (torch.cat(pair, 1) for pair in sides)  # the sum of the two cosines, as one
        return thing, text

    names: dict[str, tuple[Ranker, str]] = {
        "shared space (ConSE)": (shared, ""),
        "shared space, centred": (centred, ""),
        "projection, closed form": (turned, f"from {own.native.shape[1]} dimensions"),
        "projection, trained": (trained, ""),
        "closed form + shared space, centred": (both, "the sum of two cosines"),
    }
    floor: float | None = None
    figures = []
    for name, (ranker, note) in names.items():
        reached = round(_recall(own, ranker), 4)
        goal = floor if ranker is both else None
        figures.append(Figure(f"R@10 {own.thing}, {name}", reached, "", goal, note=note))
        floor = reached if floor is None else floor
    return figures


def _apply(projection: CrossModalProjection, own: Collection, ask: Tensor) -> tuple[Tensor, Tensor]:
    projection.eval()
    with torch.inference_mode():
        return projection.to_b(own.native[ask]), projection.centred_b(own.text[ask])


def _recall(own: Collection, ranker: Ranker) -> float:
    """Both ways, over all turns."""
    found: list[Tensor] = []
    for turn in range(TURNS):
        ask = (own.turn == turn).nonzero()[:, 0]
        things, texts = ranker(own.turn != turn, ask)
        captions = [own.captions[row] for row in ask.tolist()]
        first = [captions.index(caption) for caption in sorted(set(captions))]
        right = torch.tensor([[captions[row] == caption for caption in captions] for row in first])
        texts = F.normalize(texts, dim=1)[first]
        found += [ranks(texts, things, right=right) < 10, ranks(things, texts, right=right.T) < 10]
    forth, back = torch.cat(found[::2]), torch.cat(found[1::2])
    return float(forth.double().mean() + back.double().mean()) / 2
