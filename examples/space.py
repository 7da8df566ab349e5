"""Vectors of one space shown in another, two spaces joined by pairs, and how well they agree: `python -m examples.space`."""

from __future__ import annotations

import torch

from multimodal.embeddings import CrossModalProjection, SharedEmbeddingSpace
from multimodal.embeddings.measures import CoherenceBaseline, cka, recall


def main() -> None:
    """Made-up pictures (24-d) and texts (16-d) of the same 400 things; real ones come from the encoders."""
    dice = torch.Generator().manual_seed(0)
    things = torch.randn(400, 8, generator=dice)
    texts = torch.tanh(things @ torch.randn(8, 16, generator=dice))
    pictures = torch.relu(things @ torch.randn(8, 24, generator=dice)) + 0.5

    shown = SharedEmbeddingSpace(16, 64).encode(texts)
    lost = (shown @ shown.T - texts @ texts.T).abs().max()
    print(f"16 dimensions shown in 64: no inner product differs by more than {lost:.1e}")
    print(f"how alike the two spaces are, CKA: {cka(pictures, texts):.2f}")

    torch.manual_seed(0)
    projection = CrossModalProjection(24, 16, hidden_dim=64)
    fit = projection.fit(pictures[:300], texts[:300], epochs=20)
    with torch.inference_mode():
        pictured, meant = projection.to_b(pictures[300:]), projection.centred_b(texts[300:])
    print(f"held-out loss {fit.start:.2f} as a turn, {fit.best:.2f} trained; "
          f"of 100 new pictures {recall(pictured, meant)['R@1']:.0%} find their text first")

    baseline = CoherenceBaseline.measure({"image": pictured, "text": meant})
    cosine = float((pictured[0] * meant[0]).sum())
    z = baseline.z_scores({"camera|notes": cosine}, {"camera": "image", "notes": "text"})["camera|notes"]
    print(f"a picture with its own text: cosine {cosine:.2f}, {z:.1f} deviations above unrelated pairs")


if __name__ == "__main__":
    main()
