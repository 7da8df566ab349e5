"""Pictures found by words: indexed with their time, asked, calibrated, saved and loaded: `python -m examples.retrieval`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from multimodal.retrieval import VisionLanguageRetrieval

SECOND = 1_000_000_000  # in ns


def main() -> None:
    """Made-up vectors: words lie near the picture they mean; real ones come from the encoders."""
    dice = torch.Generator().manual_seed(0)
    pictures = torch.randn(500, 64, generator=dice)
    words = pictures + 2.2 * torch.randn(500, 64, generator=dice)

    retriever = VisionLanguageRetrieval(vision_dim=64, language_dim=64)
    keys = [retriever.index_image(f"frame-{n}.jpg", v, timestamp=n * SECOND) for n, v in enumerate(pictures)]
    fit = retriever.calibrate([(words[n], keys[n]) for n in range(200)], source_modality="text")["text>image"]
    print(f"calibrated on {fit.questions} questions; error of confidences on held-out ones {fit.error:.3f}")
    for found in retriever.retrieve_image_from_text(words[321], top_k=2):
        print(f"{found.retrieved_content}: cosine {found.similarity_score:.2f}, confidence {found.confidence_score:.2f}")

    firsts = [(keys[n], retriever.retrieve_image_from_text(words[n], top_k=1)[0]) for n in range(200, 500)]
    right = [found.key == key for key, found in firsts if found.confidence_score > 0.8]
    print(f"of {len(right)} new answers with a confidence above .8, {sum(right)} are right")
    early = retriever.retrieve_image_from_text(words[321], top_k=1, between=(0, 60 * SECOND))[0]
    print(f"in the first minute: {early.retrieved_content}, confidence {early.confidence_score:.2f}")
    retriever.delete(keys[321])
    with tempfile.TemporaryDirectory() as folder:
        retriever.save(Path(folder) / "saved")
        print(f"saved and loaded: {len(VisionLanguageRetrieval.load(Path(folder) / 'saved'))} pictures")


if __name__ == "__main__":
    main()
