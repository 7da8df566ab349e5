"""A whole lesson: learn, judge against what there was, and keep the new weights only where they are better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from multimodal.fusion.saved import Strategy, digest, load_fusion, save_fusion, strategy_name
from multimodal.training.card import Lesson, Origin, plot, write_card
from multimodal.training.judging import compare, find, table
from multimodal.training.moments import Moments, split_by_time
from multimodal.training.training import Epoch, FusionTraining, Settings

WEIGHTS = "fusion.safetensors"
"""The file in a folder of weights; `save_fusion` wrote it."""


def learn(
    module: Strategy,
    moments: Moments,
    out: Path,
    *,
    settings: Settings,
    origin: Origin,
    old: Strategy | None = None,
    fresh: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Lesson:
    """Train `module`, in place, and judge it on the last of each recording's time.

    In `out`: where it is better, ``fusion.safetensors``, ``README.md``, ``loss.svg`` and ``loss.png``; always ``training/``
    with the checkpoint that the same call goes on from. Weights that were there stay where the new ones are no better.

    Args:
        module: on the device of `moments`; so is `old`.
        old: what the new weights have to beat; None is the training-free fusion.

    Raises:
        InputError: too little time, nothing that belongs together, or a training of something else in `out`.
    """
    split = split_by_time(moments)
    before = find(old, moments, split.judged)
    training = FusionTraining(module, moments, split, settings, folder=out / "training", fresh=fresh)
    history = training.run(on_epoch)
    after = find(module, moments, split.judged)
    lesson = Lesson(
        strategy=strategy_name(module),
        verdict=compare(before, after, moments),
        figures=table(before, after, moments.modalities),
        history=history,
        moments=(len(split.learned), len(split.stopped), len(split.judged)),
        settings=asdict(settings),
        known=old is not None and digest(old) == digest(module),
    )
    if lesson.verdict.better:
        save_fusion(module, out / WEIGHTS, about={"models": origin.models, "data": "; ".join(origin.data)})
        write_card(out, origin, lesson)
    plot(history, out if lesson.verdict.better else out / "training")
    return lesson


def weights_in(folder: Path | None) -> Strategy | None:
    """The weights that a folder has; None where it has none.

    Raises:
        ConfigError: what is there is no fusion.
    """
    path = None if folder is None else folder / WEIGHTS
    return None if path is None or not path.is_file() else load_fusion(path)
