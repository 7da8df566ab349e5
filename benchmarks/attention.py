"""`sensorium bench attention`: every attention beside torch's own module, in turn, from 16 to 2,048 tokens.

    python -m benchmarks.attention [--json] [--device cpu] [--plot docs/attention-growth.svg]

Both do the same projections, 512 wide with 8 heads. "inference" is eval() under inference_mode, where torch's module may
take its own fast path; "training" is forward and backward of the sum. Each figure is the median of the ratios of runs made
one after the other. Peak memory is what torch's allocator held at most beyond what it held before.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Figure, in_turn, ratio, report
from multimodal.attention import (
    BiologicalAttention,
    CoAttention,
    CrossModalAttention,
    MultiHeadCrossModalAttention,
    SelfAttention,
)

WIDTH, HEADS = 512, 8
TOKENS = {torch.float32: (16, 64, 256, 1024, 2048), torch.bfloat16: (64, 256)}
TOGETHER = {torch.float32: 1024, torch.bfloat16: 128}
"""Lengths, and tokens in a batch; bfloat16 few: a processor without instructions for it takes seven times as long."""
SECONDS = 1.2
"""About so long for one comparison."""
SEED = {"self": 0.5, "cross": 0.8, "co": 1.2, "biological": 2.0}
"""Milliseconds that were promised, without a machine or a shape; measured here at 1 x 64 x 512."""

Call = Callable[[], Any]


def run(json: bool = False, device: str = "cpu") -> int:
    """Print the figures; 1 where a goal is missed."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    figures = [
        figure
        for dtype, lengths in TOKENS.items()
        for training in (False, True)
        for length in lengths
        for figure in beside_torch(length, dtype, device, training=training)
    ]
    figures += [*peaks(device), *mechanisms(device), *promised(device), *growth(device)]
    notes = [
        f"{device}" + (f", {torch.get_num_threads()} threads" if device == "cpu" else f" ({torch.cuda.get_device_name()})"),
        "x: of the time of torch.nn.MultiheadAttention with the same projections and need_weights alike.",
        "arithmetic: the same ratio of multiplications, counted from the shapes.",
    ]
    return report("attention", figures, notes=notes, as_json=json)


def beside_torch(length: int, dtype: torch.dtype, device: str, *, training: bool) -> Iterator[Figure]:
    """Without weights, with padding, with weights: the mean of the heads, as torch gives them by default, and each."""
    batch = max(1, TOGETHER[dtype] // length)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, device=device, dtype=dtype).train(training)
    ours = SelfAttention.from_torch(theirs)
    x = torch.randn(batch, length, WIDTH, device=device, dtype=dtype)
    padding = torch.arange(length, device=device).expand(batch, length) >= length - length // 4
    how = f"{str(dtype).removeprefix('torch.')}, {batch} x {length}, {'training' if training else 'inference'}"
    for name, goal, asked in (
        ("without weights", 0.95, {"need_weights": False}),
        ("padding mask", 1.1, {"need_weights": False, "key_padding_mask": padding}),
        ("mean weights", 0.8, {"need_weights": True, "average_attn_weights": True}),
        ("weights per head", 0.8, {"need_weights": True, "average_attn_weights": False}),
    ):
        times = compared(
            {"ours": partial(first, ours, x, **asked), "torch": partial(first, theirs, x, x, x, **asked)},
            device, training=training,
        )
        yield Figure(
            f"{name}: {how}", ratio(times["ours"], times["torch"]), "x", goal, most=True,
            note=f"{1e3 * median(times['ours']):.2f} ms, torch {1e3 * median(times['torch']):.2f} ms",
        )


def peaks(device: str) -> Iterator[Figure]:
    """Most memory held for attention that returns its weights, over the size of these; torch's beside."""
    for length, dtype in ((1024, torch.float32), (2048, torch.float32), (2048, torch.bfloat16)):
        theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, device=device, dtype=dtype)
        ours = SelfAttention.from_torch(theirs)
        x = torch.randn(1, length, WIDTH, device=device, dtype=dtype)
        size = HEADS * length**2 * x.element_size()
        for training in (False, True):
            held = peak(partial(first, ours, x), device, training=training) / size
            other = peak(partial(first, theirs, x, x, x, average_attn_weights=False), device, training=training) / size
            yield Figure(
                f"peak memory, weights per head: {str(dtype).removeprefix('torch.')}, 1 x {length}, "
                f"{'training' if training else 'inference'}",
                held, "x weights", 2.0, most=True, note=f"torch {other:.2f}; the weights are {size / 2**20:.0f} MiB",
            )


def mechanisms(device: str, length: int = 512, batch: int = 2) -> Iterator[Figure]:
    """Each beside dense attention of torch, and what its arithmetic implies."""
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, device=device).eval()
    x = torch.randn(batch, length, WIDTH, device=device)
    calls: dict[str, Call] = {"torch": lambda: theirs(x, x, x, need_weights=False)}
    made, implied = built(length)
    for name, module in made.items():
        module.to(device).eval()
        calls[name] = called(module, x)
    times = compared(calls, device, training=False)
    for name in made:
        yield Figure(
            f"{name}: inference, {batch} x {length}", ratio(times[name], times["torch"]), "x",
            note=f"arithmetic {implied[name]:.2f}; {1e3 * median(times[name]):.1f} ms",
        )


def built(length: int) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """Modules by name, and their multiplications over those of dense self-attention: 4 T D^2 + 2 T^2 D."""
    project, look = length * WIDTH**2, length**2 * WIDTH
    window, block, steps = 16, 64, 2
    span = (2 * window + block) / length
    counts = {
        "self, dense": (SelfAttention(WIDTH, HEADS), 4 * project + 2 * look),
        "self, local": (SelfAttention(WIDTH, HEADS, "local", window=window), 4 * project + 2 * span * look),
        "self, strided": (SelfAttention(WIDTH, HEADS, "strided"), 4 * project + 2 * look),
        "self, block": (SelfAttention(WIDTH, HEADS, "block", block=block), 4 * project + 2 * look * block / length),
        "self, top-k": (SelfAttention(WIDTH, HEADS, "top-k"), 4 * project + 2 * look),
        "self, entmax": (SelfAttention(WIDTH, HEADS, "entmax"), 4 * project + 2 * look),
        "cross": (CrossModalAttention(WIDTH, WIDTH, WIDTH, HEADS), 4 * project + 2 * look),
        "cross, 8 patterns": (
            MultiHeadCrossModalAttention(WIDTH, WIDTH, WIDTH, ("dense", "local", "strided", "global") * 2),
            4 * project + 2 * look,
        ),
        "co": (CoAttention(WIDTH, WIDTH, WIDTH, HEADS), 2 * (5 * project + 2 * look + 8 * project)),  # entry, feed-forward
        "biological": (
            BiologicalAttention(WIDTH, HEADS, sparse_ratio=0.7, recurrent_steps=steps), 4 * project + 2 * steps * look
        ),
    }
    dense = counts["self, dense"][1]
    return {name: module for name, (module, _) in counts.items()}, {name: n / dense for name, (_, n) in counts.items()}


def first(module: nn.Module, *inputs: Tensor, **options: Any) -> Tensor:
    """The attended."""
    attended: Tensor = module(*inputs, **options)[0]
    return attended


def called(module: nn.Module, x: Tensor) -> Call:
    """On `x` from every side, without weights."""
    if isinstance(module, (SelfAttention, BiologicalAttention)):
        return lambda: module(x, need_weights=False)
    return lambda: module(x, x, need_weights=False)


def promised(device: str) -> Iterator[Figure]:
    """Milliseconds of one call, beside those that users were promised."""
    x = torch.randn(1, 64, WIDTH, device=device)
    made, _ = built(64)
    names = {"self": "self, dense", "cross": "cross", "co": "co", "biological": "biological"}
    times = compared({n: called(made[full].to(device).eval(), x) for n, full in names.items()}, device, training=False)
    for name, goal in SEED.items():
        millions = {"self": 4, "cross": 4, "co": 26, "biological": 4}[name] * 64 * WIDTH**2 / 1e6
        took = 1e3 * median(times[name])
        yield Figure(
            f"promised: {name}, float32, 1 x 64", took, "ms", goal, most=True,
            note=f"{2 * millions:.0f} M operations in its matrices: {2 * millions / took:.0f} G a second",
        )


def growth(device: str) -> Iterator[Figure]:
    """Exponents of time and memory in the number of tokens, of attention alone, between 1,024 and 2,048."""
    curves = grown(device, (1024, 2048))
    theory = {"without weights": (2, 1), "with weights": (2, 2), "local": (1, 1)}
    for name, points in curves.items():
        for what, index in (("time", 1), ("memory", 2)):
            exponent = math.log2(points[1][index] / points[0][index])
            yield Figure(f"growth of {what}, {name}", exponent, "exponent", note=f"in theory {theory[name][index - 1]}")


def grown(device: str, lengths: tuple[int, ...]) -> dict[str, list[tuple[int, float, float]]]:
    """(tokens, seconds, bytes) by way of computing; no projections, heads of 64."""
    from multimodal.attention.banded import banded_attend
    from multimodal.attention.core import attend

    points: dict[str, list[tuple[int, float, float]]] = {}
    for length in lengths:
        query, key, value = (torch.randn(1, HEADS, length, WIDTH // HEADS, device=device) for _ in range(3))
        calls: dict[str, Call] = {
            "without weights": partial(attend, query, key, value),
            "with weights": partial(attend, query, key, value, need_weights=True),
            "local": partial(banded_attend, query, key, value, block=64, halo=32, padding=None, dropout=0.0),
        }
        times = compared(calls, device, training=False)
        for name, call in calls.items():
            held = peak(call, device, training=False)
            points.setdefault(name, []).append((length, median(times[name]), held))
    return points


def compared(calls: dict[str, Call], device: str, *, training: bool) -> dict[str, list[float]]:
    """Seconds of each, taken in turn, as often as `SECONDS` allow."""
    def timed(call: Call) -> Callable[[], float]:
        def once() -> float:
            begun = time.perf_counter()
            done(call, device, training=training)
            return time.perf_counter() - begun

        return once

    measures = {name: timed(call) for name, call in calls.items()}
    first = sum(measure() for measure in measures.values())
    return in_turn(measures, min(60, max(5, round(SECONDS / first))))


def done(call: Call, device: str, *, training: bool) -> None:
    """Once, forward, and backward in training; waits for the device."""
    if training:
        call().sum().backward()
    else:
        with torch.inference_mode():
            call()
    if device == "cuda":
        torch.cuda.synchronize()


def peak(call: Call, device: str, *, training: bool) -> float:
    """Bytes held at most beyond those held before, by torch's own count; the gradients of parameters are there already."""
    done(call, device, training=training)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        done(call, device, training=training)
        return float(torch.cuda.max_memory_allocated() - before)
    with allocations() as changes:
        done(call, device, training=training)
    held = most = 0
    for change in changes:
        held += change
        most = max(most, held)
    return float(most)


@contextmanager
def allocations() -> Iterator[list[int]]:
    """What torch's allocator took (+) and gave back (-) on the processor, in order."""
    changes: list[int] = []
    activities = [torch.profiler.ProfilerActivity.CPU]
    with silent_errors(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        yield changes
    events = profile.profiler.kineto_results.events()
    taken = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    changes += [size for _, size in sorted(taken, key=lambda pair: pair[0])]


@contextmanager
def silent_errors() -> Iterator[None]:
    """The profiler writes lines of its own to the standard error, past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def plot(path: str, device: str) -> None:
    """Time and memory over the number of tokens, with the slopes of theory."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    lengths = (128, 256, 512, 1024, 2048, 4096)
    curves = grown(device, lengths)
    looks = {"with weights": ("#D55E00", "s"), "without weights": ("#0072B2", "o"), "local": ("#009E73", "^")}
    labels = {"with weights": "with weights", "without weights": "without weights", "local": "local, window 32"}
    mpl.rcParams.update({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "growth"})
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axis, index, unit, title in ((axes[0], 1, 1e3, "time, ms"), (axes[1], 2, 2.0**-20, "memory held at most, MiB")):
        for name, (colour, marker) in looks.items():
            values = [point[index] * unit for point in curves[name]]
            axis.plot(lengths, values, color=colour, marker=marker, label=labels[name])
        top, low = curves["with weights"][-1][index] * unit, curves["local"][-1][index] * unit
        for power, end in ((2, top * 1.8), (1, low / 1.8)):
            guide = [end * (length / lengths[-1]) ** power for length in lengths[2:]]
            axis.plot(lengths[2:], guide, color="#767676", linestyle=":", linewidth=1)
            axis.annotate(
                f"T$^{power}$" if power > 1 else "T", (lengths[-1], end), textcoords="offset points", xytext=(6, -3),
                color="#555555",
            )
        axis.set(xscale="log", yscale="log", xlabel="tokens T", title=title)
        axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False, loc="upper left")
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--plot", metavar="FILE", help="draw the growth there in place of measuring all")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot, options.device)
    else:
        sys.exit(run(options.json, options.device))
