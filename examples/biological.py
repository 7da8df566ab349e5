"""Attention with few winners, that settles, and that remembers: `python -m examples.biological`.

A stored picture is found again under noise, and one stream remembers what it saw in an earlier call.
"""

from __future__ import annotations

import torch

from multimodal.attention import BiologicalAttention, attend
from multimodal.attention.hopfield import refine


def main() -> None:
    torch.manual_seed(0)
    stored = torch.nn.functional.normalize(torch.randn(1, 1, 64, 64), dim=-1)  # 64 patterns of 64 numbers
    noisy = stored + 0.15 * torch.randn_like(stored)
    for steps in (0, 1, 2):
        recalled = refine(noisy, lambda z: attend(z, stored, stored, scale=10.0)[0], steps=steps)
        print(f"steps: {steps}, cosine to the pattern: {torch.cosine_similarity(recalled, stored, dim=-1).mean():.2f}")

    attention = BiologicalAttention(64, num_heads=4, sparse_ratio=0.7, recurrent_steps=2, plasticity=0.5).eval()
    with torch.inference_mode():
        memory = None
        for moment in torch.randn(3, 1, 10, 64):  # three moments of one stream, ten tokens each
            attended, weights, memory = attention(moment, memory)
            kept = int((weights > 0).sum(-1).max())
            length = memory.norm(dim=(-2, -1)).max()
            print(f"attended {tuple(attended.shape)}, {kept} of 10 keys kept, memory of length {length:.2f} in a head")
    print(f"no head's memory can exceed {attention.memory_bound():.0f}")


if __name__ == "__main__":
    main()
