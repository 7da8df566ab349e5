"""Draw attention: a heat map, an overlay, a page to walk through three moments. `python -m examples.visualization [DIR]`"""

import sys
import tempfile

import numpy as np
import torch

from multimodal.visualization import AttentionVisualizer, Moment


def main(folder: str | None = None) -> None:
    folder = folder or tempfile.mkdtemp(prefix="attention-")
    torch.manual_seed(0)
    words = ["a", "red", "ball"]
    weights = torch.softmax(3 * torch.randn(3, 49), -1)  # each word over the 7x7 cells of a picture
    rows, columns = np.mgrid[:224, :224]
    picture = np.full((224, 224, 3), 235, np.uint8)
    picture[(rows - 80) ** 2 + (columns - 150) ** 2 < 50**2] = (200, 40, 30)

    visualizer = AttentionVisualizer(folder, format="svg")
    visualizer.create_attention_heatmap(weights, words, None, "words to cells")
    visualizer.create_attention_overlay(picture, weights[2].reshape(7, 7), "ball")
    moments = [
        Moment(
            title=word,
            picture=picture,
            maps={"words->camera": weights[number].reshape(7, 7)},
            contributions={"text": 0.5, "image": 0.5},
            texts=[word],
        )
        for number, word in enumerate(words)
    ]
    page = visualizer.create_explorer(moments, "three words").path
    print(f"entropy {visualizer.analyze(weights).mean_entropy:.2f} of 1; open {page}")


if __name__ == "__main__":
    main(*sys.argv[1:])
