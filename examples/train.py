"""A fusion learns what comes together (`sensorium train`, of recordings): `python -m examples.train`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from multimodal.fusion import EarlyFusion
from multimodal.training import Origin, Settings, from_vectors, learn


def main() -> None:
    """A bell rings, the door opens, somebody says who it is: six such happenings, three seconds each, over and over."""
    dice = torch.Generator().manual_seed(0)
    looks, sounds = torch.randn(2, 6, 32, generator=dice)  # nothing in common
    views: dict[str, list[Any]] = {"audio": [], "image": []}
    times = []
    for second in range(360):
        if second % 3 == 0:
            happening = int(torch.randint(6, (), generator=dice))
        for name, kinds in {"audio": sounds, "image": looks}.items():
            vector = torch.nn.functional.normalize(kinds[happening] + 0.3 * torch.randn(32, generator=dice), dim=0)
            views[name].append((second, vector.numpy(), 1.0))
        times.append((second * 10**9, (second + 2) * 10**9, 0))
    torch.manual_seed(0)
    module = EarlyFusion({"audio": 32, "image": 32}, 32, width=64)
    origin = Origin(data=["made up"], replaced="the training-free fusion", models="none", command="examples/train.py")
    with tempfile.TemporaryDirectory() as folder:
        lesson = learn(module, from_vectors(views, times), Path(folder), settings=Settings(epochs=10), origin=origin)
        written = ", ".join(sorted(path.name for path in Path(folder).iterdir()))
    old, new = lesson.figures["all"].values()
    print(f"a hidden sound or picture is among the first five for {old['R@5']:.0%} before, {new['R@5']:.0%} after")
    print(f"{lesson.verdict.reason}; written: {written}")


if __name__ == "__main__":
    main()
