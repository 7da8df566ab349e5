"""Moments become hits as the rule says, however they lie: what touches and shares a stream is one, what does not is not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.runs import Matches, Run, find_runs
from pipelines.store.catalogue import Catalogue
from pipelines.store.labels import pack_labels
from pipelines.store.reader import MomentColumns, ViewColumns


class Seen(NamedTuple):
    """A moment: its streams, and those that answer each part of the question, with their confidences."""

    group: str
    start: int
    length: int
    streams: tuple[str, ...]
    answers: tuple[dict[str, float], ...]


def catalogue(moments: list[Seen]) -> Catalogue:
    """View keys 1, 2, 3, ... in the order of moments and their streams."""
    views = [(number, stream) for number, moment in enumerate(moments) for stream in moment.streams]
    made = Catalogue()
    made.extend(
        ViewColumns(
            list(range(1, len(views) + 1)),
            [number + 1 for number, _ in views],
            [stream for _, stream in views],
            ["image"] * len(views),
            [1.0] * len(views),
            [pack_labels([])] * len(views),
        ),
        MomentColumns(
            list(range(1, len(moments) + 1)),
            [f"m{number}" for number in range(len(moments))],
            [moment.group for moment in moments],
            [moment.start for moment in moments],
            [moment.start + moment.length for moment in moments],
            ["model"] * len(moments),
        ),
    )
    return made


def found(moments: list[Seen], part: int) -> Matches:
    views = [(moment, stream) for moment in moments for stream in moment.streams]
    rows = [row for row, (moment, stream) in enumerate(views) if stream in moment.answers[part]]
    sure = np.array([views[row][0].answers[part][views[row][1]] for row in rows], np.float64)
    return Matches(np.array(rows, np.int64), sure, sure, np.full(len(rows), part))


def plainly(moments: list[Seen]) -> list[tuple[float, set[int]]]:
    """The rule, pair by pair: the confidence and the members of each run."""
    answering = {
        number: min(max(part.values()) for part in moment.answers)
        for number, moment in enumerate(moments)
        if all(moment.answers)
    }
    streams = {n: {s for part in moments[n].answers for s in part} for n in answering}
    runs = [{n} for n in answering]

    def together(a: int, b: int) -> bool:
        one, two = moments[a], moments[b]
        touch = one.start <= two.start + two.length and two.start <= one.start + one.length
        return one.group == two.group and touch and bool(streams[a] & streams[b])

    merging = True
    while merging:
        merging = False
        for i in range(len(runs)):
            for j in range(i + 1, len(runs)):
                if any(together(a, b) for a in runs[i] for b in runs[j]):
                    runs[i] |= runs.pop(j)
                    merging = True
                    break
            if merging:
                break
    return [(max(answering[n] for n in run), run) for run in runs]


@st.composite
def _moments(draw: st.DrawFn) -> list[Seen]:
    sureness = st.sampled_from([0.5, 0.6, 0.75, 0.9])
    count = draw(st.integers(0, 12))
    moments = []
    for _ in range(count):
        streams = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
        answers = tuple(draw(st.dictionaries(st.sampled_from(streams), sureness)) for _ in range(2))
        group = draw(st.sampled_from(["hall", "yard"]))
        moments.append(Seen(group, draw(st.integers(0, 25)), draw(st.integers(1, 4)), tuple(streams), answers))
    return moments


def members(run: Run) -> set[int]:
    return set(run.moments.tolist())


@settings(max_examples=80, deadline=None)
@given(moments=_moments(), limit=st.integers(1, 5))
def test_runs_are_those_of_the_rule_best_or_newest_first(moments: list[Seen], limit: int) -> None:
    made = catalogue(moments)
    parts = [found(moments, 0), found(moments, 1)]
    wanted = plainly(moments)
    runs = find_runs(parts, made, newest=False, limit=100)
    assert sorted((run.confidence, sorted(members(run))) for run in runs) == sorted(
        (sure, sorted(run)) for sure, run in wanted
    )
    assert [run.confidence for run in runs] == sorted((sure for sure, _ in wanted), reverse=True)
    for run in runs:
        own = [moments[n] for n in run.moments.tolist()]
        assert (run.start, run.end) == (min(m.start for m in own), max(m.start + m.length for m in own))
        assert [m.start for m in own] == sorted(m.start for m in own)
        matched = made.stream.values[run.matches.rows].tolist()
        names = [made.streams.texts[code] for code in matched]
        assert sorted(names) == sorted({s for m in own for part in m.answers for s in part}), "a reason a stream"
        for row, sure in zip(run.matches.rows.tolist(), run.matches.confidences.tolist(), strict=True):
            stream = made.streams.texts[made.stream.values[row]]
            assert sure == max(part.get(stream, 0) for m in own for part in m.answers), "the surest of its stream"
        of_best = {s for part in moments[run.best].answers for s in part}
        assert [name in of_best for name in names] == sorted([name in of_best for name in names], reverse=True)
    few = find_runs(parts, made, newest=False, limit=limit)
    assert [members(run) for run in few] == [members(run) for run in runs[:limit]]
    newest = find_runs(parts, made, newest=True, limit=100)
    assert [run.start for run in newest] == sorted((run.start for run in runs), reverse=True)


def test_a_hundred_thousand_matches_are_one_run_without_a_step_for_each() -> None:
    moments = [Seen("hall", number, 2, ("a",), ({"a": 0.9},)) for number in range(100_000)]
    [run] = find_runs([found(moments, 0)], catalogue(moments), newest=False, limit=10)
    assert (run.start, run.end, len(run.moments), len(run.matches.rows)) == (0, 100_001, 100_000, 1)
    assert run.best == 99_999, "of equals the newest"
