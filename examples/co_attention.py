"""A picture's cells and a sentence's words attend to each other: `python -m examples.co_attention`."""

from __future__ import annotations

import torch

from multimodal.attention import CoAttention


def main() -> None:
    torch.manual_seed(0)
    cells, words = torch.randn(1, 49, 128), torch.randn(1, 6, 96)
    unused = torch.tensor([[False, False, False, False, True, True]])  # the sentence has four words
    for tokens in (0, 4):
        attention = CoAttention(vision_dim=128, language_dim=96, hidden_dim=64, bottleneck_tokens=tokens).eval()
        with torch.inference_mode():
            vision, language, maps = attention(
                vision_features=cells, language_features=words, language_padding_mask=unused, average_attn_weights=True
            )
        print(f"{tokens} bottleneck tokens: vision {tuple(vision.shape)}, language {tuple(language.shape)}")
        for name, weights in maps.items():
            print(f"  {name} {tuple(weights.shape)}, a row sums to {weights[0, 0].sum():.2f}")


if __name__ == "__main__":
    main()
