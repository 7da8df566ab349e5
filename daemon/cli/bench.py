"""`sensorium bench`: the measurements of the repository's `benchmarks/`, each a module with ``run(json, device) -> int``."""

from __future__ import annotations

import click

from daemon.cli._options import json_option

BENCHMARKS = {
    "speed": "bare encoders, the pipeline and their ratio; the bundled recording against real time",
    "retrieval": "R@1/5/10 of words to pictures and sounds with chance; by example, in both spaces",
    "space": "how good the shared space is, and what a learned projection adds on held-out captions",
    "training": "what `sensorium train` learns from a recording, on time held out of it",
    "calibration": "what a confidence is worth, on questions and items held out of its fit",
    "attention": "every attention beside torch's own module, 16 to 2,048 tokens: time, memory, growth",
    "attention-pointing": "how often the named part of a mosaic gets the most attention",
    "fusion": "each way of fusing against the best single modality and an MLP: XOR, missing, noise, speech; time",
    "generation": "place of a made picture's or sound's own caption, beside real ones and chance",
    "memory": "what few winners, settling and fast weights buy in meaning, and cost in time",
    "search": "time of one search over 100,000 moments",
    "index": "exact search, graphs beside a tail and bare usearch: time and recall to 100,000 vectors, or a million",
    "integration": "the processor's modes and switches against one another; memory over 10,000 calls",
    "stream": "the plumbing without models, beside other stream engines",
}
"""Every measurement, in the order in which all are run; the file is `benchmarks/<name>.py`, `-` as `_`."""

WITHOUT_DEVICE = frozenset({"index", "search", "stream"})
"""Nothing in them computes on a device: their ``run`` knows none."""


@click.command(
    epilog="\b\nMeasurements:\n"
    + "\n".join(f"  {name:<20}{what}" for name, what in BENCHMARKS.items())
    + """

\b
Examples:
  sensorium bench speed
  sensorium bench retrieval search --json
  sensorium bench --device cuda

\b
Exit codes: 0 measured, 1 one of them failed or its goal was missed."""
)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[MEASUREMENT]...")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="What the models and modules compute on.")
@json_option
def command(names: tuple[str, ...], device: str, as_json: bool) -> int:
    """Measure speed and meaning on this machine.

    Without a name all measurements are made. With --json each prints one JSON document.
    """
    import sys
    from importlib import import_module
    from pathlib import Path

    import daemon
    from pipelines.errors import SensoriumError

    root = Path(daemon.__file__).parents[1]
    if not (root / "benchmarks" / "__init__.py").is_file():
        raise SensoriumError("the benchmarks are not in the installed package: clone the repository and run it there")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SensoriumError("torch sees no CUDA device here: --device auto or cpu measures on the processor")
    codes = []
    for name in dict.fromkeys(names or BENCHMARKS):
        if not as_json and len(names) != 1:
            click.echo(click.style(f"\n{name}: {BENCHMARKS[name]}", bold=True))
        chosen = {} if name in WITHOUT_DEVICE else {"device": device}
        codes.append(int(import_module(f"benchmarks.{name.replace('-', '_')}").run(as_json, **chosen)))
    return max(codes)
