"""Draws the sample pictures of `docs/generation.md`: `python -m benchmarks.fitting.samples`.

Nothing is chosen: of the held-out things every one in the order of their names, of the learned ones every ninth; each the
first picture of seed 0.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.material.emoji import Named, pictures, pixels, split_captions
from benchmarks.material.instruments import captions, sounds
from multimodal.embeddings import TextModalityEncoder
from multimodal.generation import ImageToAudioGenerator, TextToImageGenerator, mel

DOCS = Path(__file__).parents[2] / "docs"
COLUMNS = 14


def sheet(generator: TextToImageGenerator, named: list[Named]) -> NDArray[np.uint8]:
    """Rows in turn: the real pictures, and under them what was made of their names."""
    rows = []
    for start in range(0, len(named) - COLUMNS + 1, COLUMNS):
        some = named[start : start + COLUMNS]
        rows.append(np.concatenate([pixels(one) for one in some], axis=1))
        rows.append(np.concatenate([generator.generate(one.caption)[0].picture for one in some], axis=1))
    return np.concatenate(rows)


def spectra(generator: ImageToAudioGenerator, names: list[str]) -> NDArray[np.uint8]:
    """Log-mel pictures, time to the right: above the first real take of each name, below what was made of it."""
    real = {take.caption: take.samples for take in sounds(names, takes=1)}
    columns = []
    for name in names:
        made = generator.generate(name)[0].samples
        pair = [mel.picture_of(torch.from_numpy(samples)[None])[0] for samples in (real[name], made)]
        grey = [((p.T.flip(0).clamp(-1.3, 2.4) + 1.3) / 3.7 * 255).round().to(torch.uint8).numpy() for p in pair]
        columns.append(np.pad(np.concatenate(grey), ((0, 0), (0, 4)), constant_values=255))
    return np.concatenate(columns, axis=1)


def main() -> None:
    text = TextModalityEncoder()
    draw, play = TextToImageGenerator(text_encoder=text), ImageToAudioGenerator(text_encoder=text)
    learned, held = pictures()
    for name, named in (("held-out", held[: 6 * COLUMNS]), ("learned", learned[::9][: 4 * COLUMNS])):
        cv2.imwrite(str(DOCS / f"generation-{name}.png"), sheet(draw, named)[..., ::-1])
    seen, unheard = (sorted(part) for part in split_captions(captions()))
    cv2.imwrite(str(DOCS / "generation-sounds.png"), spectra(play, [*seen[::40][:3], *unheard[:3]]))
    print("sounds shown, learned then held out:", seen[::40][:3], unheard[:3])


if __name__ == "__main__":
    main()
