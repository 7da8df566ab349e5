"""all-MiniLM-L6-v2: the text encoder, as a torch module.

A BERT encoder (Devlin et al., arXiv:1810.04805; post-norm, erf GELU) of 6 layers, 384 wide, 12 heads, then the mean over
the tokens and unit length (Reimers and Gurevych, arXiv:1908.10084). Its space is the shared space of all encoders.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

WIDTH = 384
HEADS = 12
LAYERS = 6
INNER = 1536
VOCABULARY = 30522
POSITIONS = 512
MAX_TOKENS = 256
"""Longer texts are cut: the model was trained on no more."""
PAD = 0
"""Token id of padding; it is how the module knows what to ignore."""

_EPS = 1e-12


class _Layer(nn.Module):
    """Self-attention and a feed-forward net, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=_EPS)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=_EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (N, T, D); mask (N, 1, 1, T): 0 where a key counts, a large negative number where it is padding."""
        n, t, _ = x.shape
        q, k, v = (
            self.qkv(x).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        )  # each (N, H, T, D/H)
        scores = q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + mask
        attended = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, WIDTH)  # (N, H, T, D/H) -> (N, T, D)
        x = self.norm1(x + self.out(attended))
        y: Tensor = self.norm2(x + self.down(F.gelu(self.up(x))))
        return y


class MiniLM(nn.Module):
    """Token ids to a unit vector and the tokens' own vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.segment = nn.Parameter(torch.zeros(WIDTH))  # one segment only: its embedding is a constant
        self.norm = nn.LayerNorm(WIDTH, eps=_EPS)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids (N, T), padded with `PAD` behind -> unit vectors (N, D), token vectors (N, T, D)."""
        real = (ids != PAD).to(self.segment.dtype)  # (N, T)
        mask = ((1.0 - real) * -1e9)[:, None, None, :]
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segment
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        summed = (x * real[:, :, None]).sum(1)  # the mean's divisor is lost in the normalisation
        return F.normalize(summed, dim=-1), x


@torch.no_grad()
def load_minilm(weights: Path) -> MiniLM:
    """The pretrained encoder from its safetensors file."""
    source = load_file(weights)
    model = MiniLM()
    target: dict[str, Tensor] = {
        "words.weight": source["embeddings.word_embeddings.weight"],
        "positions.weight": source["embeddings.position_embeddings.weight"],
        "segment": source["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": source["embeddings.LayerNorm.weight"],
        "norm.bias": source["embeddings.LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            parts = [source[f"{layer}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            target[f"layers.{i}.qkv.{kind}"] = torch.cat(parts)
            for ours, theirs in names.items():
                target[f"layers.{i}.{ours}.{kind}"] = source[f"{layer}.{theirs}.{kind}"]
    model.load_state_dict(target)
    return model.eval().requires_grad_(False)
