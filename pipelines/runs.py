"""From single matches to runs of neighbouring moments, by columns: no Python per match, since there may be 100,000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.store.catalogue import Catalogue


class Matches(NamedTuple):
    """Views that answer one part of a question, as columns; `source` says for each what it was found by."""

    rows: NDArray[np.int64]  # of the catalogue
    confidences: NDArray[np.float64]
    scores: NDArray[np.float64]
    source: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Matches]) -> Matches:
        """One after the other."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else cls(
            np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))  # fmt: skip

    def only(self, chosen: NDArray[Any]) -> Matches:
        """Some of them, by a mask or by places."""
        return Matches(*(column[chosen] for column in self))


class Run(NamedTuple):
    """Moments that touch or overlap, as one: [start, end) in ns.

    `moments` in time order, `best` the surest of them, `matches` the best one of each stream, those of `best` first.
    """

    start: int
    end: int
    confidence: float
    best: int
    moments: NDArray[np.int64]
    matches: Matches


def find_runs(parts: Sequence[Matches], catalogue: Catalogue, *, newest: bool, limit: int) -> list[Run]:
    """The `limit` best (or newest) runs of moments that answer every part of a question.

    A moment is as sure as its least sure part, a part as its surest match; of two as sure ones the nearer is the better,
    then the newer. Two moments of one group that touch or overlap in time and share a matching stream are of one run.
    """
    sure = _sureness(parts, catalogue)
    found = Matches.joined(parts)
    found = found.only(sure[catalogue.moment.values[found.rows]] >= 0)
    if not found.rows.size:
        return []
    moments = catalogue.moment.values[found.rows]
    near = np.full(len(sure), -np.inf)
    np.maximum.at(near, moments, found.scores)
    runs = _run_of_each(found.rows, moments, catalogue)  # (n,): number of the match's run
    starts = catalogue.start.values[moments]
    first = np.full(int(runs.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, runs, starts)

    bests = _best_moments(runs, moments, sure, near, catalogue.start.values)  # (R,)
    ranks = (bests, catalogue.start.values[bests], near[bests], sure[bests])
    order = np.lexsort((*ranks, first) if newest else ranks)[::-1][:limit]
    shown = np.full(len(bests), -1)
    shown[order] = np.arange(len(order))
    places = np.flatnonzero(shown[runs] >= 0)
    places = places[np.argsort(shown[runs[places]], kind="stable")]  # matches by run, in the order of the runs
    edges = np.searchsorted(shown[runs[places]], np.arange(len(order) + 1))
    result = []
    for number, run in enumerate(order.tolist()):
        mine = places[edges[number] : edges[number + 1]]
        own = np.unique(moments[mine])
        own = own[np.lexsort((own, catalogue.start.values[own]))]
        best = int(bests[run])
        matches = _best_of_streams(found.only(mine), moments[mine] == best, catalogue)
        result.append(Run(int(first[run]), int(catalogue.end.values[own].max()), float(sure[best]), best, own, matches))
    return result


def _sureness(parts: Sequence[Matches], catalogue: Catalogue) -> NDArray[np.float64]:
    """Of each moment; below 0 where some part of the question finds nothing in it."""
    sure = np.full(len(catalogue.ids), np.inf)
    for part in parts:
        of_part = np.full(len(sure), -1.0)
        np.maximum.at(of_part, catalogue.moment.values[part.rows], part.confidences)
        np.minimum(sure, of_part, out=sure)
    return sure


def _run_of_each(rows: NDArray[np.int64], moments: NDArray[Any], catalogue: Catalogue) -> NDArray[np.int64]:
    """Matches of one stream that touch make a chain; chains with a moment in common make a run."""
    starts, ends = catalogue.start.values[moments], catalogue.end.values[moments]
    lane = catalogue.group.values[moments] * (catalogue.stream.values.max() + 1) + catalogue.stream.values[rows]
    chains = np.empty(len(rows), np.int64)
    chain = 0
    for one in np.unique(lane).tolist():
        mine = np.flatnonzero(lane == one)
        mine = mine[np.argsort(starts[mine], kind="stable")]
        reached = np.maximum.accumulate(ends[mine])
        breaks = np.concatenate(([0], starts[mine][1:] > reached[:-1]))
        chains[mine] = chain + np.cumsum(breaks)
        chain = int(chains[mine[-1]]) + 1
    by_moment = np.argsort(moments, kind="stable")
    same = np.diff(moments[by_moment]) == 0
    links = np.stack([chains[by_moment[:-1]][same], chains[by_moment[1:]][same]])
    links = np.unique(links[:, links[0] != links[1]], axis=1)  # (2, links)
    return np.unique(_connected(chain, links)[chains], return_inverse=True)[1].reshape(-1)


def _connected(count: int, links: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest number that each of `count` is linked to over any way: it is passed on until nothing changes."""
    lowest = np.arange(count)
    while True:
        before = lowest.copy()
        np.minimum.at(lowest, links[0], before[links[1]])
        np.minimum.at(lowest, links[1], before[links[0]])
        lowest = lowest[lowest]
        if np.array_equal(lowest, before):
            return lowest


def _best_moments(
    runs: NDArray[np.int64],
    moments: NDArray[Any],
    sure: NDArray[np.float64],
    near: NDArray[np.float64],
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(R,) moments, one a run. Only what is as sure as the surest of its run is put in order."""
    highest = np.full(int(runs.max()) + 1, -1.0)
    np.maximum.at(highest, runs, sure[moments])
    top = np.flatnonzero(sure[moments] == highest[runs])
    order = np.lexsort((moments[top], starts[moments[top]], near[moments[top]], runs[top]))
    top = top[order]
    last = np.append(np.flatnonzero(np.diff(runs[top])), len(top) - 1)
    return np.asarray(moments[top[last]], np.int64)


def _best_of_streams(found: Matches, of_best: NDArray[np.bool_], catalogue: Catalogue) -> Matches:
    streams = catalogue.stream.values[found.rows]
    order = np.lexsort((~of_best, -found.scores, -found.confidences, streams))
    order = order[np.unique(streams[order], return_index=True)[1]]
    best_streams = np.unique(streams[of_best])
    absent = ~np.isin(streams[order], best_streams)
    return found.only(order[np.lexsort((-found.scores[order], -found.confidences[order], absent))])
