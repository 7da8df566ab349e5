"""The answer of a search, for people: one card a hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli import _show

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from pipelines.hits import Answer, Hit

COLOURS = {"image": "blue", "audio": "dark_orange", "text": "green"}
VERDICTS = {
    "no confident match": "No confident match",
    "outside vocabulary": "Outside the vocabulary",
}


def cards(answer: Answer) -> RenderableType:
    """Each hit with when, how long, how sure, on which streams, and why; without a hit the verdict, and what to do."""
    from rich.console import Group
    from rich.text import Text

    if not answer.hits:
        text = Text(VERDICTS.get(answer.verdict, answer.verdict), style="bold")
        if answer.hint:
            text.append(f": {answer.hint}", style="not bold")
        return text
    return Group(*(_card(number, hit) for number, hit in enumerate(answer.hits, 1)))


def _card(number: int, hit: Hit) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble(
        (f"{number:>3}  ", "dim"), (_show.when(hit.start), "bold"), f"  {_show.lasting(hit.end - hit.start)}  ",
        (_show.bar(hit.confidence), COLOURS[hit.modality]), (f" {min(round(100 * hit.confidence), 99)}%", "bold"),
    )  # fmt: skip
    head.append(f"  {_show.plain(', '.join(hit.streams))}", style="dim")
    if hit.count > 1:
        head.append(f"  {hit.count} moments", style="dim")
    return Group(head, *(_why(reason.modality, str(reason)) for reason in hit.reasons), Text())


def _why(modality: str, sentence: str) -> Text:
    from rich.text import Text

    verb, _, rest = sentence.partition(" ")
    return Text.assemble("     ", (verb, COLOURS[modality]), f" {_show.plain(rest)}")
