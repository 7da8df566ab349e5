"""Words that look at a picture, half of it broken; and tokens that look only near: `python -m examples.attention`."""

from __future__ import annotations

import torch

from multimodal.attention import CrossModalAttention, MultiHeadCrossModalAttention, SelfAttention, named


def main() -> None:
    """Made-up features: 6 words (32-d) and 49 cells of a picture (64-d), a batch of two moments."""
    torch.manual_seed(0)
    words, cells = torch.randn(2, 6, 32), torch.randn(2, 49, 64)

    look = CrossModalAttention(query_dim=32, context_dim=64, hidden_dim=128)
    quality = torch.ones(2, 49)
    quality[1, 25:] = 0.0  # the lower half of the second picture is lost
    attended, weights = look(words, cells, quality=quality, need_weights=True)
    assert weights is not None
    print(f"attended {tuple(attended.shape)}, weights {tuple(weights.shape)}; "
          f"on the lost half {weights[1, :, :, 25:].sum():.0f}, in the first picture {weights[0, :, :, 25:].sum():.1f}")

    heads = MultiHeadCrossModalAttention(32, 64, 128, patterns=("dense", named("local", window=3), "top-k", "entmax"))
    _, weights = heads(words, cells)
    assert weights is not None
    for pattern, seen in zip(heads.patterns, (weights > 0).sum(-1).float().mean((0, 2)), strict=True):
        print(f"  {pattern.name:<8} looks at {seen:.0f} of {cells.shape[1]} cells")

    near = SelfAttention(embedding_dim=64, pattern="local", window=16)
    sound = torch.randn(1, 1000, 64)
    print(f"1,000 tokens, each looking 16 to either side: {tuple(near(sound, need_weights=False)[0].shape)}")


if __name__ == "__main__":
    main()
