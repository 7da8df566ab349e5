"""A picture from words, and a sound from a point of the shared space; both trained here, both offline."""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import cv2
import numpy as np

from multimodal.embeddings import TextModalityEncoder
from multimodal.retrieval import ImageToAudioGenerator, TextToImageGenerator


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="generated-"))
    draw, play, read = TextToImageGenerator(), ImageToAudioGenerator(), TextModalityEncoder()

    for i, made in enumerate(draw.generate("a red apple", count=3, seed=7)):
        path = folder / f"apple-{i}.png"
        cv2.imwrite(str(path), made.picture[..., ::-1])  # OpenCV writes BGR
        print(f"{path}: {made.picture.shape}, seed {made.seed} makes it again")

    [sound] = play.generate(read("a violin"))  # an embedding: of a text here, of a picture or a sound as well
    path = folder / "violin.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.sample_rate)
        file.writeframes(np.rint(sound.samples * 32767).astype("<i2").tobytes())
    print(f"{path}: {len(sound.samples) / sound.sample_rate:.2f} s at {sound.sample_rate} Hz")


if __name__ == "__main__":
    main()
