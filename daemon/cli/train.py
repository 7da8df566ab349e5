"""`sensorium train`: a fusion learns what belongs together in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli._exit import NOT_BETTER, OK
from daemon.cli._options import config_options, json_option

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.config import Config
    from multimodal.fusion.saved import Strategy
    from multimodal.training import Epoch, Lesson, Moments, Origin

STRATEGIES = ("early", "late", "hierarchical", "bilinear", "adaptive")
MODALITIES = ("audio", "image", "text")
DROPOUT = 0.1


@click.command(
    epilog="""\b
Examples:
  sensorium train hall.mcap
  sensorium train monday.mcap tuesday.mcap --out ./weights --epochs 100
  sensorium train --store ~/.local/share/sensorium/store --fusion bilinear

\b
What was seen, heard and said at one moment belongs together: one of the three
is hidden, and the fused vector of the rest learns to find it. The last fifth
of each recording is not learned from; on it the new weights have to find more
than the old ones, or they replace nothing. Ctrl-C keeps the last whole epoch,
and the same command goes on there.

\b
Exit codes: 0 better weights are in --out; 1 it failed, or there is too little
to learn from; 2 wrong command line; 3 learned, but not surely better: what was
used before stays; 78 wrong configuration; 130 stopped by Ctrl-C."""
)
@click.argument("recordings", nargs=-1, type=click.Path(path_type=Path, dir_okay=False), metavar="[RECORDING]...")
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Learn from the vectors of a store instead (without the attention to parts of the pictures).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Where the weights go (default: ~/.cache/sensorium/weights/NAME).")
@click.option("--fusion", type=click.Choice(STRATEGIES), help="Which strategy (default: the configured one, else early).")
@click.option("--epochs", type=click.IntRange(1), default=60, show_default=True, help="At most.")
@click.option("--patience", type=click.IntRange(1), default=8, show_default=True,
              help="Epochs without progress on time held back, then it ends.")
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True, help="Moments a step.")
@click.option("--learning-rate", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-3, show_default=True,
              help="Of AdamW.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Of the weights, the order of moments and what is hidden: the same one learns the same.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="What it is learned on; encoding is done on the CPU, where it gives the same bits every time.")
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time, the same weights.")
@click.option("--fresh", is_flag=True, help="Begin anew, whatever lies in --out unfinished.")
@config_options
@json_option
def command(
    *, recordings: tuple[Path, ...], store: Path | None, out: Path | None, fusion: str | None, epochs: int,
    patience: int, batch_size: int, learning_rate: float, seed: int, device: str, gradient_checkpointing: bool,
    fresh: bool, config_path: Path | None, sets: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Let a fusion learn from recordings what belongs together."""
    if bool(recordings) == (store is not None):
        raise click.UsageError("learn from recordings, or from a store: name the files, or --store DIR")
    import torch

    from daemon import logs
    from daemon.cli import _show
    from daemon.config import load
    from multimodal.fusion import STRATEGIES as KINDS
    from multimodal.training import Settings, learn

    config = load(config_path, sets=sets)
    logs.configure(config.logs.level, config.logs.format)
    settings = Settings(
        epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
        gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    configured = config.mind.fusion_method
    strategy = fusion or (configured if configured in STRATEGIES else "early")
    name = recordings[0].stem if recordings else (store or Path()).absolute().name
    out = (out or Path.home() / ".cache" / "sensorium" / "weights" / name).expanduser().absolute()
    say = _show.console(err=True)
    overridden = any(text.startswith("align.") for text in sets)
    moments, models = _moments(config, recordings, store, overridden=overridden, say=say, quiet=as_json)
    where = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    moments, dim = moments.to(where), moments.mean.shape[-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = KINDS[strategy](dict.fromkeys(MODALITIES, dim), dim, dropout=DROPOUT).to(where)
    old, replaced = _old(config, out)
    origin = _origin(recordings, store, moments, replaced, models)
    with _progress(say, epochs, quiet=as_json) as shown:
        try:
            lesson = learn(
                module, moments, out, settings=settings, origin=origin, old=None if old is None else old.to(where),
                fresh=fresh, on_epoch=shown,
            )  # fmt: skip
        except KeyboardInterrupt:
            say.print("stopped; the same command goes on after the last whole epoch")
            raise
    if as_json:
        _show.as_json(_document(lesson, replaced, out))
    else:
        _print(lesson, replaced, out)
    return OK if lesson.verdict.better or lesson.known else NOT_BETTER


def _moments(
    config: Config, recordings: tuple[Path, ...], store: Path | None, *, overridden: bool, say: Console, quiet: bool
) -> tuple[Moments, str]:
    """What to learn from, and the fingerprint of the models it was encoded by."""
    from dataclasses import replace

    from connectors.recording.replay import open_recording
    from daemon import learning
    from daemon.cli import _pull
    from daemon.mind import open_mind

    opened = [open_recording(path) for path in recordings]
    _pull.ensure_models()
    plain = replace(config, mind=replace(config.mind, fusion_method="mean", weights=None, device="cpu"))
    with open_mind(plain) as mind:
        if store is not None:
            return learning.of_store(store, lambda model: _encoders(model) == _encoders(mind.fingerprint)), mind.fingerprint
        with _counting(say, quiet=quiet) as count:
            return learning.of_recordings(plain, opened, mind, overridden=overridden, on_window=count), mind.fingerprint


def _encoders(fingerprint: str) -> str:
    """The part of a fingerprint that names the models, without the fusion's own: vectors are the encoders'."""
    return fingerprint.partition("/")[0].rpartition("+")[0]


def _old(config: Config, out: Path) -> tuple[Strategy | None, str]:
    """The weights in use, and what to call them."""
    from multimodal.fusion import load_fusion
    from multimodal.integration.strategies import weights_file
    from multimodal.training import weights_in

    if (found := weights_in(out)) is not None:
        return found, f"what {out} held"
    if config.mind.weights is not None:
        return load_fusion(weights_file(config.mind.weights)), f"what {config.mind.weights} holds"
    return None, "the training-free fusion"


def _origin(
    recordings: tuple[Path, ...], store: Path | None, moments: Moments, replaced: str, models: str
) -> Origin:
    import sys

    from multimodal.training import Origin

    data = [f"{path.name}: {path.stat().st_size / 1e6:.1f} MB" for path in recordings]
    data += [f"the store {store.name}"] if store is not None else []
    return Origin(
        data=[*data, f"{_seconds(moments):.0f} s in all"], replaced=replaced, models=models,
        command=" ".join(["sensorium", *map(_quoted, sys.argv[1:])]),
    )  # fmt: skip


def _seconds(moments: Moments) -> float:
    """Time that they cover, each recording for itself."""
    total = 0
    for recording in set(moments.recording.tolist()):
        own = moments.recording == recording
        total += int(moments.end[own].max() - moments.start[own].min())
    return total / 1e9


def _document(lesson: Lesson, replaced: str, out: Path) -> dict[str, Any]:
    """For programs."""
    verdict = lesson.verdict
    return {
        "better": verdict.better, "gain": verdict.gain, "error": verdict.error, "reason": verdict.reason,
        "known": lesson.known, "replaced": replaced, "figures": lesson.figures, "epochs": lesson.history[-1].number,
        "moments": sum(lesson.moments), "out": str(out),
        "config": {"mind": {"fusion_method": lesson.strategy, "weights": str(out)}},
    }  # fmt: skip


def _print(lesson: Lesson, replaced: str, out: Path) -> None:
    """For people."""
    from daemon.cli import _show

    made = _show.table("hidden", "questions", "R@1", "", "R@5", "", "median rank", "", "R@1 by chance")
    for name, of in lesson.figures.items():
        old, new = of["old"], of["new"]
        made.add_row(
            name, f"{new['questions']:.0f}", f"{old['R@1']:.3f}", f"→ {new['R@1']:.3f}", f"{old['R@5']:.3f}",
            f"→ {new['R@5']:.3f}", f"{old['median rank']:.0f}", f"→ {new['median rank']:.0f}", f"{new['chance R@1']:.3f}",
        )  # fmt: skip
    _show.console().print(made)
    reason = lesson.verdict.reason
    click.echo(f"{reason[0].upper()}{reason[1:]} (against {replaced}).")
    line = f"mind: {{fusion_method: {lesson.strategy}, weights: {out}}}"
    if lesson.verdict.better:
        click.echo(f"The new weights are in {out}; to use them, in config.yaml:\n  {line}")
    elif lesson.known:
        click.echo(f"{out} has these very weights already; in config.yaml:\n  {line}")
    else:
        click.echo(f"They replace nothing: {replaced} stays.")


@contextmanager
def _counting(say: Console, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Moments as they are understood."""
    if quiet or not say.is_terminal:
        yield lambda number: None
        return
    with say.status("reading") as status:
        yield lambda number: status.update(f"understood {number} moments")


@contextmanager
def _progress(say: Console, epochs: int, *, quiet: bool) -> Iterator[Callable[[Epoch], None]]:
    """A bar in a terminal, a line each tenth epoch elsewhere, nothing under --json."""
    if quiet:
        yield lambda epoch: None
    elif not say.is_terminal:
        yield lambda epoch: say.print(f"epoch {epoch.number}: loss {epoch.stopped:.3f}") if epoch.number % 10 == 0 else None
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("learning"), BarColumn(28), MofNCompleteColumn(), TextColumn("{task.description}"),
                   TimeElapsedColumn())  # fmt: skip
        with Progress(*columns, console=say) as bars:
            task = bars.add_task("", total=epochs)
            yield lambda epoch: bars.update(
                task, completed=epoch.number,
                description=f"loss {epoch.stopped:.3f}" + (", the lowest so far" if epoch.best else ""),
            )  # fmt: skip


def _quoted(argument: str) -> str:
    from shlex import quote

    return quote(Path(argument).name if argument.startswith("/") else argument)
