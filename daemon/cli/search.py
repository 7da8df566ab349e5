"""`sensorium search`: moments by words, a picture or a sound."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli._exit import OK
from daemon.cli._options import config_options, json_option, store_option

LARGEST_IMAGE = 64_000_000


@click.command(
    epilog="""\b
Examples:
  sensorium search "glass breaking"
  sensorium search "heard:siren seen:street" --since 2h --newest
  sensorium search 'said:"tea is ready" after:2026-03-01 stream:notes'
  sensorium search --image bike.jpg -k 3 --json
  sensorium search --audio bell.wav --store ./hall

\b
Words are asked of pictures, sounds and texts alike, or with seen:, heard:,
said: of one of them; after:, before: and stream: say where to look.
Times: 2h (ago), 2026-03-01, 2026-03-01T09:30, 2026-03-01T09:30:00Z.

\b
--json prints {"verdict": "match" | "no confident match" | "outside vocabulary",
"moments": [{"start", "end", "streams", "modality", "confidence", "why", "ids"}]},
times in nanoseconds since 1970.

\b
Exit codes: 0 answered, whatever the verdict; 1 there is no store, a model
is not here, or a file cannot be read; 2 wrong command line; 78 wrong
configuration."""
)
@click.argument("query", required=False, default="")
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Ask by a picture.")
@click.option("--audio", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Ask by a sound.")
@click.option("--since", metavar="TIME", help="Only moments that begin at or after this.")
@click.option("--until", metavar="TIME", help="Only moments that begin before this.")
@click.option("--newest", is_flag=True, help="Newest first, not best first.")
@click.option("-k", "limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="At most so many hits.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="The confidence from which a moment is an answer.")  # fmt: skip
@store_option
@config_options
@json_option
def command(
    *, query: str, image: Path | None, audio: Path | None, since: str | None, until: str | None, newest: bool, limit: int,
    threshold: float, store: Path | None, config_path: Path | None, sets: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Find moments by words, a picture or a sound."""
    import time

    from daemon import logs
    from daemon.cli import _answer, _pull, _show
    from daemon.config import load
    from daemon.searching import open_search
    from daemon.sound import read_sound
    from pipelines.query import parse_query, parse_time
    from pipelines.store.reader import Reader

    config = load(config_path, flags={"store": {"path": store}}, sets=sets)
    logs.configure(config.logs.level, config.logs.format)
    now = time.time_ns()
    parse_query(query, now)
    between = tuple(parse_time(text, now) if text else None for text in (since, until))
    picture = _bytes(image) if image else None
    sound = read_sound(audio) if audio else None
    Reader(config.store.path).close()  # what cannot be answered is said before any model is fetched
    _pull.ensure_models()
    with open_search(config, threshold=threshold) as search:
        answer = search.ask(
            query, image=picture, audio=sound, since=between[0], until=between[1], newest=newest, limit=limit, now=now
        )
    if as_json:
        _show.as_json(answer.to_json())
    else:
        _show.console().print(_answer.cards(answer))
    return OK


def _bytes(path: Path) -> bytes:
    from pipelines.errors import QuestionError

    if path.stat().st_size > LARGEST_IMAGE:
        raise QuestionError(f"{path} is larger than {LARGEST_IMAGE // 1_000_000} MB; ask by a smaller picture")
    return path.read_bytes()
