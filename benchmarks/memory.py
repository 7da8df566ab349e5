"""`sensorium bench memory`: what winners, settling and fast weights of `BiologicalAttention` buy, and what they cost.

    python -m benchmarks.memory [--json] [--device cpu]

Meaning first: patterns completed from noise, associations rewritten, and how much of the attention the winners hold, by
exact choice and by blocks. Then time, each beside torch's fused attention in turn, as the median of the ratios: exact
winners at 512 tokens, eager and compiled, and blocks at 1,024 to 4,096 tokens. The compiler of torch needs a C++ compiler
at run time on a CPU; where there is none that row stays empty.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention

from benchmarks.measuring import Figure, in_turn, ratio, report
from multimodal.attention import fast_weights
from multimodal.attention.biological import attend_winners
from multimodal.attention.block_sparse import block_sparse_attend, choose, chosen_ignore
from multimodal.attention.core import attend
from multimodal.attention.hopfield import refine
from multimodal.attention.winners import winners

HEADS, WIDTH = 8, 64
RATIO = 0.75
"""Of the keys left out, wherever time is taken."""
REPEATS = 7
NOISE, BETA, PATTERNS = 0.15, 10.0, 64
PASSES = 4
"""That old and new associations are each written."""


def run(json: bool = False, device: str = "auto") -> int:
    """Print the figures; 1 where a goal is missed."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.inference_mode():
        figures = [*completed(device), *rewritten(device), *held(device), *exact_times(device), *block_times(device)]
    notes = [
        f"{HEADS} heads of {WIDTH}, float32, one sample, {device}"
        + (f", {torch.get_num_threads()} threads" if device == "cpu" else f" ({torch.cuda.get_device_name()})"),
        f"{RATIO:.0%} of the keys left out, or of the blocks of keys.",
    ]
    return report("memory", figures, notes=notes, as_json=json)


def completed(device: str) -> list[Figure]:
    """Cosine of a noisy pattern to its original after so many Hopfield steps."""
    stored = normalize(torch.randn(16, 1, PATTERNS, WIDTH, device=device), dim=-1)
    noisy = stored + NOISE * torch.randn_like(stored)
    found = []
    for steps, goal in ((0, None), (1, 0.95), (2, 0.99)):
        recalled = refine(noisy, lambda z: attend(z, stored, stored, scale=BETA)[0], steps=steps)
        value = float(torch.cosine_similarity(recalled, stored, dim=-1).mean())
        name = f"noisy pattern, {steps} steps" if steps != 1 else "noisy pattern, 1 step"
        found.append(Figure(name, value, "cosine", goal, note=f"{PATTERNS} unit patterns, noise {NOISE}, beta {BETA:g}"))
    return found


def rewritten(device: str) -> list[Figure]:
    """Cosine of what is read to what was written last over the same keys, and to what had been written before."""
    figures = []
    for count in (16, WIDTH):
        key = normalize(torch.randn(64, 1, count, WIDTH, device=device), dim=-1)
        old, new = (normalize(torch.randn_like(key), dim=-1) for _ in range(2))
        state = torch.zeros(64, 1, WIDTH, WIDTH, device=device)
        write = partial(fast_weights.write, rate=1.0, decay=0.9999)
        once = write(state, key, old)
        state = once
        for value in (old,) * (PASSES - 1) + (new,) * PASSES:
            state = write(state, key, value)
        kinds = {"delta rule": (once, state), "Hebb": (old.mT @ key, (old + new).mT @ key)}
        for name, (first, last) in kinds.items():
            stored = _says(first, key, old)
            figures.append(Figure(f"{count} written once, {name}", stored, "cosine", note="random keys of 64 numbers"))
            goal = 0.99 if count == 16 and name == "delta rule" else None
            before = f"{_says(last, key, old):.2f} to the old"
            figures.append(Figure(f"{count} rewritten, {name}", _says(last, key, new), "cosine", goal, note=before))
    return figures


def _says(state: Tensor, key: Tensor, value: Tensor) -> float:
    return float(torch.cosine_similarity(fast_weights.read(state, key), value, dim=-1).mean())


def held(device: str) -> list[Figure]:
    """Share of the attention's mass on the keys that are kept, where neighbours are alike and where they are not."""
    tokens, figures = 2048, []
    drive = torch.randn(1, HEADS, tokens, WIDTH, device=device)
    steps = [drive[:, :, 0]]
    for t in range(1, tokens):
        steps.append(0.97 * steps[-1] + (1 - 0.97**2) ** 0.5 * drive[:, :, t])
    alike = torch.stack(steps, 2)
    anywhere = drive[:, :, torch.randperm(tokens, device=device)]
    for name, key, near in (("like their neighbours", alike, alike), ("unlike, each seeking one anywhere", drive, anywhere)):
        query = near + 0.5 * torch.randn_like(near)
        weights = torch.softmax(query @ key.mT / WIDTH**0.5, -1)
        exact = (weights * winners(weights, RATIO)).sum(-1).mean()
        blocks = (weights * ~chosen_ignore(choose(query, key, sparse_ratio=RATIO), tokens)).sum(-1).mean()
        figures.append(Figure(f"mass held, exact, keys {name}", float(exact), "share"))
        figures.append(Figure(f"mass held, blocks, keys {name}", float(blocks), "share", note=f"by chance {1 - RATIO:g}"))
    return figures


def exact_times(device: str) -> list[Figure]:
    """Times of torch's fused attention at 512 tokens."""
    query, key, value = _inputs(512, device)
    measures: dict[str, Callable[[], object]] = {
        "fused": lambda: scaled_dot_product_attention(query, key, value),
        "eager": lambda: attend_winners(query, key, value, sparse_ratio=RATIO),
    }
    compiled, why = _compiled(query, key, value)
    if compiled is not None:
        measures["compiled"] = compiled
    found = in_turn({name: partial(_seconds, work, device) for name, work in measures.items()}, REPEATS)
    figures = [Figure("exact winners, 512, eager", ratio(found["eager"], found["fused"]), "× fused", 10, most=True)]
    took = ratio(found["compiled"], found["fused"]) if "compiled" in found else None
    return [*figures, Figure("exact winners, 512, compiled", took, "× fused", 3.5, most=True, note=why)]


def block_times(device: str) -> list[Figure]:
    """Times of torch's fused attention over all keys; below 1 it saves time."""
    figures = []
    for tokens in (1024, 2048, 4096):
        query, key, value = _inputs(tokens, device)
        padding = torch.zeros(1, tokens, dtype=torch.bool, device=device)
        padding[:, -5:] = True
        measures: dict[str, Callable[[], object]] = {
            "fused": partial(scaled_dot_product_attention, query, key, value),
            "blocks": partial(block_sparse_attend, query, key, value, sparse_ratio=RATIO),
            "blocks, padding": partial(block_sparse_attend, query, key, value, sparse_ratio=RATIO, padding=padding),
            "exact winners": partial(attend_winners, query, key, value, sparse_ratio=RATIO),
        }
        found = in_turn({name: partial(_seconds, work, device) for name, work in measures.items()}, REPEATS)
        for name in list(measures)[1:]:
            goal = 0.95 if name == "blocks" else None
            figures.append(Figure(f"{name}, {tokens:,}", ratio(found[name], found["fused"]), "× fused", goal, most=True))
    return figures


def _compiled(query: Tensor, key: Tensor, value: Tensor) -> tuple[Callable[[], object] | None, str]:
    """The compiled call, warm, or why there is none."""
    work = torch.compile(attend_winners, dynamic=False)
    try:
        work(query, key, value, sparse_ratio=RATIO)
    except Exception as error:  # what is missing differs: a C++ compiler, Triton, headers
        return None, f"not measured: {type(error).__name__}, the compiler of torch needs a C++ compiler (CPU) or Triton"
    return partial(work, query, key, value, sparse_ratio=RATIO), ""


def _inputs(tokens: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(1, HEADS, tokens, WIDTH, device=device) for _ in range(3))
    return query, key, value


def _seconds(work: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args()
    return run(given.json, given.device)


if __name__ == "__main__":
    sys.exit(main())
