"""The measurement of search runs in full on a few hundred moments, and finds what it asks for."""

import json

from benchmarks import search


def test_every_kind_of_question_is_measured_and_answered(capsys):
    code = search.run(as_json=True, moments=600, questions=2)
    document = json.loads(capsys.readouterr().out)
    figures = {row["name"]: row for row in document["figures"]}
    assert code == int(any(row.get("reached") is False for row in figures.values()))
    kinds = search.kinds(600)
    for kind in kinds:
        assert 0 < figures[f"{kind}, p50"]["value"] <= figures[f"{kind}, p95"]["value"]
        assert figures[f"{kind}, p95"]["goal"] == search.GOAL
    empty = {"plain words, a tenth of the time", "nothing that is there"}  # the scene lies in the first ten moments
    for kind in set(kinds) - empty:
        assert "; 0 hits" not in figures[f"{kind}, p50"]["note"], kind
    assert figures["memory for words"]["goal"] == search.ROOM
    assert figures["first question, with loading"]["value"] > 0
