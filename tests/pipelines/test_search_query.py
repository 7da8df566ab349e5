"""The little language: what a person types is understood, or told what would be right; nothing crashes it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import QuestionError
from pipelines.query import Query, Token, parse_query, parse_time
from pipelines.words import full_text

NOW = int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()) * 10**9
HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("glass breaking", Query((Token("any", "glass breaking"),))),
        ("seen:red car heard: dog barking", Query((Token("seen", "red car"), Token("heard", "dog barking")))),
        ('said:"tea: now" seen:cup', Query((Token("said", "tea: now"), Token("seen", "cup")))),
        ("said:tea*", Query((Token("said", "tea*"),))),
        ("HEARD:siren", Query((Token("heard", "siren"),))),
        ("it is 10:30 already", Query((Token("any", "it is 10:30 already"),))),
        ("said:http://example.org", Query((Token("said", "http://example.org"),))),
        ("heard:dog after:-2h", Query((Token("heard", "dog"),), after=NOW - 2 * HOUR)),
        (
            "heard:dog after:2h ago stream:mic.hall",
            Query((Token("heard", "dog"),), NOW - 2 * HOUR, None, ("mic.hall",)),
        ),
        ("after: 1h30m barking dog", Query((Token("any", "barking dog"),), after=NOW - 3 * HOUR // 2)),
        (
            "dog before:2026-05-01T10:00:00Z stream:a,b stream:a",
            Query((Token("any", "dog"),), None, NOW - 2 * HOUR, ("a", "b")),
        ),
        ("dog before:2026-05-01 10:00Z loud", Query((Token("any", "dog loud"),), None, NOW - 2 * HOUR)),
        ("", Query(())),
    ],
)
def test_it_is_read_as_meant(text: str, expected: Query) -> None:
    assert parse_query(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "helped"),
    [
        ("heared:dog", "did you mean heard:"),
        ("smelled:roses", "Put quotes round"),
        ("seen:", "seen:dog"),
        ("seen:   heard:dog", "seen:dog"),
        ('said:"tea', "opened and not closed"),
        ("dog after:yesterdayish", "2h ago"),
        ("dog after:", "after:-2h"),
        ("dog after:-1h after:-2h", "twice"),
        ("dog after:-1h before:-2h", "not earlier"),
        ("dog stream:", "stream:camera.hall"),
        ("x" * 2000, "1000 or fewer"),
    ],
)
def test_what_cannot_be_understood_is_told_what_would_be_right(text: str, helped: str) -> None:
    with pytest.raises(QuestionError, match=helped):
        parse_query(text, NOW)


@given(
    st.text(max_size=80) | st.lists(st.sampled_from(["seen:", "after:", "-2h", '"', "stream:", " ", "*", "a", "\x00"]))
)
def test_nothing_typed_crashes_it(text: str | list[str]) -> None:
    try:
        query = parse_query("".join(text), NOW)
    except QuestionError:
        return
    assert all(token.words.strip() for token in query.tokens)


@pytest.mark.parametrize("text", ["now", "0s", "-0s", "2026-05-01T12:00Z", "2026-05-01T14:00+02:00"])
def test_one_instant_in_many_ways(text: str) -> None:
    assert parse_time(text, NOW) == NOW


@pytest.mark.parametrize("text", ["", "-", "2", "2x", "99999-01-01", "9" * 400 + "w", "tomorrow"])
def test_no_time_is_refused(text: str) -> None:
    with pytest.raises(QuestionError):
        parse_time(text, NOW)


def test_words_become_expressions_in_which_nothing_is_an_operator() -> None:
    assert full_text("tea is ready") == ('"tea" AND "ready"', '"tea is ready"')
    assert full_text("the") == ('"the"', None)
    found = full_text("NOT near tea* ^")
    assert found is not None and found.every == '"NOT" AND "near" AND "tea" *'
    assert full_text("?!*()") is None


def test_a_time_too_late_for_a_clock_is_the_last_one_and_one_too_early_the_first() -> None:
    assert parse_time("9999-12-31T00:00Z", NOW) == 2**63 - 1
    assert parse_time("99999w", NOW) == 0
