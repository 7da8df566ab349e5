"""Search finds the moments that were meant, says why, and says honestly when there are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from multimodal.retrieval.index import ExactIndex
from pipelines.errors import QuestionError, StoreError
from pipelines.moment import Moment
from pipelines.packet import SECOND, Modality, Packet
from pipelines.protocols import Candidates, Encoded, Fused, Vector
from pipelines.search import EVERY_WORD, WHOLE_PHRASE, Search, alike
from pipelines.store import Store, vectors
from pipelines.testing.moments import a_moment, a_view

CLASSES = ("dog", "glass", "violin", "street", "siren", "rain")


def direction(name: str, dimension: int = len(CLASSES)) -> Vector:
    return np.eye(dimension, dtype=np.float32)[CLASSES.index(name)]


class ClassMind:
    """Its world has six things; a word that names one points at it, every other word points nowhere."""

    fingerprint = "small-mind-1"

    def encode(self, packets: Sequence[Packet]) -> list[Encoded]:
        raise NotImplementedError

    def fuse(self, windows: object) -> list[Fused]:
        raise NotImplementedError

    def question(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        audio: tuple[NDArray[np.int16], int] | None = None,
    ) -> Encoded:
        if text is not None:
            named = [name for name in CLASSES if name in text]
            vector = sum((direction(name) for name in named), np.zeros(len(CLASSES), np.float32))
            return Encoded("text", vector, vector, labels=tuple((name, 1.0) for name in named))
        if image is not None:
            if not image:
                return Encoded("image", direction("dog"), direction("dog"), error="no picture")
            return Encoded("image", direction("dog"), native(image.decode()))
        return Encoded("audio", direction("dog"), native("violin"))


def native(name: str) -> Vector:
    return np.roll(direction(name, 9), 3)


class PlainCalibration:
    """A cosine is its own confidence; a question is in the vocabulary when it names a thing. No examples known."""

    def confidences(self, candidates: Candidates, question: Encoded, modality: Modality) -> NDArray[np.floating]:
        if question.modality != "text":
            raise LookupError("no calibration by example")
        return np.maximum(candidates.scores, 0.0)

    def in_vocabulary(self, question: Encoded, modality: Modality) -> bool:
        return bool(question.labels)


def seen(name: str, weight: float = 1.0):
    vector = weight * direction(name) + np.sqrt(1 - weight**2) * direction("rain")
    return a_view("image", vector.astype(np.float32), native=native(name), labels=((name, 0.8), ("rain", 0.1)))


def heard(name: str):
    return a_view("audio", direction(name), native=native(name), labels=((name, 0.9),))


def said(*words: str):
    return a_view("text", np.asarray([0, 0, 0, 0, 0, 1], np.float32), text=words)


def at(second: int, **streams: object) -> Moment:
    """A two-second window of group hall, named by its start."""
    return a_moment(f"w{second}", streams, start=second * SECOND)  # type: ignore[arg-type]


STORY = [
    at(0, camera=seen("street"), mic=heard("dog")),
    at(1, camera=seen("street"), mic=heard("dog")),
    at(10, camera=seen("dog", 0.9), mic=heard("violin")),
    at(11, camera=seen("dog"), mic=heard("violin"), notes=said("The tea is ready, dear")),
    at(12, camera=seen("dog", 0.95), mic=heard("siren")),
    at(20, camera=seen("glass"), door=seen("dog", 0.7), mic=heard("glass"), notes=said("mind the gap")),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as store:
        for moment in STORY:
            store.put(moment)
        store.prune().result(10)
        yield store


@pytest.fixture
def search(store: Store, tmp_path: Path) -> Iterator[Search]:
    store.put(STORY[0]).result(10)
    with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration()) as search:
        yield search


def ids(search: Search, question: str, **options: object) -> list[tuple[str, ...]]:
    return [hit.ids for hit in search.ask(question, now=0, **options).hits]  # type: ignore[arg-type]


def test_what_was_seen_is_found_best_first_with_neighbours_as_one_hit(search: Search) -> None:
    answer = search.ask("seen:dog", now=0)
    assert answer.verdict == "match"
    assert [(hit.ids, hit.streams, round(hit.confidence, 2), hit.best) for hit in answer.hits] == [
        (("w10", "w11", "w12"), ("camera",), 1.0, "w11"),
        (("w20",), ("door",), 0.7, "w20"),
    ]
    assert (answer.hits[0].start, answer.hits[0].end, answer.hits[0].count) == (10 * SECOND, 14 * SECOND, 3)
    assert answer.hits[0].reasons[0].labels == (("dog", 0.8),), "the label that was asked for, not just the likeliest"


def test_what_was_heard_is_not_what_was_seen(search: Search) -> None:
    assert ids(search, "heard:dog") == [("w0", "w1")]
    assert ids(search, "heard:violin") == [("w10", "w11")]


def test_without_a_token_all_three_are_asked(search: Search) -> None:
    assert set(ids(search, "dog")) == {("w10", "w11", "w12"), ("w0", "w1"), ("w20",)}
    assert ids(search, "tea") == [("w11",)]


def test_all_tokens_must_hold_in_the_same_moment_and_the_least_sure_decides(search: Search) -> None:
    answer = search.ask("seen:dog heard:violin", now=0)
    assert [(hit.ids, hit.streams, hit.modality) for hit in answer.hits] == [
        (("w10", "w11"), ("camera", "mic"), "image")
    ]
    assert ids(search, "seen:street heard:violin") == []
    assert search.ask("seen:dog heard:glass", now=0).hits[0].confidence == pytest.approx(0.7, abs=1e-3)


def test_words_are_found_by_stem_by_beginning_and_by_phrase(search: Search) -> None:
    assert ids(search, "said:teas") == [("w11",)]
    assert ids(search, "said:rea*") == [("w11",)]
    assert ids(search, "said:rea") == []
    [hit] = search.ask("said:ready tea", now=0).hits
    assert hit.confidence == EVERY_WORD
    [hit] = search.ask('said:"tea is ready"', now=0).hits
    assert hit.confidence == WHOLE_PHRASE
    assert "[tea is ready]" in (hit.reasons[0].words or "") or "[tea] [is] [ready]" in (hit.reasons[0].words or "")


def test_words_are_found_by_meaning_too(search: Search) -> None:
    answer = search.ask("said:rain", now=0)  # no text holds the word; two texts point there
    assert [hit.ids for hit in answer.hits] == [("w20",), ("w11",)]
    assert answer.hits[0].reasons[0].words == "mind the gap"


def test_newest_first_and_between_times(search: Search) -> None:
    assert ids(search, "dog", newest=True) == [("w20",), ("w10", "w11", "w12"), ("w0", "w1")]
    assert ids(search, "seen:dog", since=11 * SECOND, until=12 * SECOND) == [("w11",)]
    assert ids(search, "seen:dog before:1970-01-01T00:00:11Z") == [("w10",)]
    assert ids(search, "seen:dog", limit=1) == [("w10", "w11", "w12")]


def test_one_stream_only(search: Search) -> None:
    assert ids(search, "seen:dog stream:door") == [("w20",)]
    assert set(ids(search, "dog stream:door,mic")) == {("w0", "w1"), ("w20",)}
    with pytest.raises(QuestionError, match="camera, door, mic, notes"):
        search.ask("dog stream:cellar", now=0)


def test_a_picture_or_a_sound_is_a_question_too(search: Search) -> None:
    assert ids(search, "", image=b"glass") == [("w20",)]
    assert ids(search, "", audio=(np.zeros((10, 1), np.int16), 16000)) == [("w10", "w11")]
    assert ids(search, "heard:siren", image=b"dog") == [("w12",)]
    with pytest.raises(QuestionError, match="no picture"):
        search.ask(image=b"", now=0)


def test_likeness_without_a_calibration_grows_with_the_cosine() -> None:
    values = [alike(cosine) for cosine in (-1, 0, 0.5, 0.75, 0.9, 1)]
    assert values == sorted(values) and values[3] == 0.5 and values[0] >= 0 and values[-1] <= 1


def test_what_nothing_can_name_is_said_to_be_outside_the_vocabulary(search: Search) -> None:
    for question in ("seen:flurble", "flurble", "seen:dog heard:flurble"):
        answer = search.ask(question, now=0)
        assert (answer.verdict, answer.hits) == ("outside vocabulary", ())
    assert search.ask("said:flurble", now=0).verdict == "no confident match", "words have no list"
    assert search.ask("gap", now=0).verdict == "match", "no class, yet it was said"


def test_a_question_that_says_picture_or_sound_is_asked_of_those(search: Search) -> None:
    """Lost otherwise: "a picture of a dog" shows first where one was barking."""
    for question, kind in (("A picture of a dog", "image"), ("photos of the dog", "image"), ("the sound of a dog", "audio")):
        hits = search.ask(question, now=0).hits
        assert {reason.modality for hit in hits for reason in hit.reasons} == {kind}, question
    assert search.ask("the sound of tea is ready", now=0).verdict != "match"
    assert {hit.modality for hit in search.ask("dog", now=0).hits} == {"image", "audio"}


def test_a_store_of_words_alone_never_speaks_of_pictures(tmp_path: Path) -> None:
    """Lost otherwise: who asks notes for something that is not in them is told that no picture or sound means that."""
    with Store(tmp_path) as store:
        store.put(at(0, notes=said("the tea is ready"))).result(10)
    with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration()) as search:
        assert search.ask("flurble", now=0).verdict == "no confident match"
        assert search.ask("tea", now=0).verdict == "match"
        assert search.ask("seen:flurble", now=0).verdict == "outside vocabulary"


def test_what_is_not_there_is_said_not_to_be_there(search: Search) -> None:
    answer = search.ask("seen:siren", now=0)
    assert (answer.verdict, answer.hits) == ("no confident match", ())
    assert answer.hint


def test_the_threshold_is_the_askers(store: Store, tmp_path: Path) -> None:
    with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration(), threshold=0.8) as search:
        assert ids(search, "seen:dog") == [("w10", "w11", "w12")]
    with pytest.raises(QuestionError, match="between 0 and 1"):
        Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration(), threshold=7)


def test_the_answer_for_scripts_has_the_promised_form(search: Search) -> None:
    document = json.loads(json.dumps(search.ask("heard:violin", now=0).to_json()))
    assert list(document) == ["verdict", "moments"]
    assert list(document["moments"][0]) == ["start", "end", "streams", "modality", "confidence", "why", "ids"]
    assert document["moments"][0]["why"][0]["labels"] == [["violin", 0.9]]
    assert document["moments"][0]["why"][0]["text"] == "heard on mic: violin 0.90"
    assert search.ask("seen:siren", now=0).to_json() == {"verdict": "no confident match", "moments": []}


def test_nothing_asked_and_an_empty_store(search: Search, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(QuestionError, match="nothing is asked"):
        search.ask("after:-2h", now=10**18)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(StoreError, match="no store"):
        Search(empty, ClassMind(), ExactIndex, PlainCalibration())
    with Store(empty), Search(empty, ClassMind(), ExactIndex, PlainCalibration()) as other:
        answer = other.ask("dog", now=0)
        assert answer.verdict == "no confident match" and "no moments" in (answer.hint or "")


def test_it_works_without_a_running_writer(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for moment in STORY:
            store.put(moment)
    with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration()) as search:
        assert ids(search, "heard:violin") == [("w10", "w11")]


def test_an_open_search_follows_what_is_stored_revised_and_dropped(store: Store, search: Search) -> None:
    assert ids(search, "seen:violin") == []
    store.put(at(30, camera=seen("violin"))).result(10)
    assert ids(search, "seen:violin") == [("w30",)]
    store.put(at(30, camera=seen("siren"))).result(10)
    assert ids(search, "seen:violin") == []
    assert ids(search, "seen:siren") == [("w30",)]


def test_a_scene_of_hours_is_one_hit(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for second in range(600):
            store.put(at(second, camera=seen("dog")))
        store.put(at(5000, camera=seen("dog", 0.6))).result(20)
        with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration()) as search:
            counts = [(hit.start, hit.end, hit.count) for hit in search.ask("seen:dog", now=0).hits]
            assert counts == [(0, 601 * SECOND, 600), (5000 * SECOND, 5002 * SECOND, 1)]


def test_two_groups_never_become_one_hit(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for group in ("hall", "yard"):
            store.put(a_moment(group, {f"camera.{group}": seen("dog")}, group=group))
        store.prune().result(10)
        with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration()) as search:
            assert sorted(ids(search, "seen:dog")) == [("hall",), ("yard",)]


def test_questions_from_two_threads_do_not_mix(search: Search) -> None:
    answers: dict[str, set[tuple[tuple[str, ...], ...]]] = {"heard:violin": set(), "seen:glass": set()}

    def ask(question: str) -> None:
        for _ in range(20):
            answers[question].add(tuple(ids(search, question)))

    threads = [threading.Thread(target=ask, args=(question,)) for question in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"heard:violin": {(("w10", "w11"),)}, "seen:glass": {(("w20",),)}}


def test_a_search_that_is_open_for_long_gives_back_what_the_dropped_took(
    store: Store, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "WORTH_READING_ANEW", 3)
    for turn in range(12):
        store.put(at(50, camera=seen("violin" if turn % 2 else "siren", 1 - turn / 100), mic=heard("dog"))).result(10)
        assert ids(search, "seen:violin") == ([("w50",)] if turn % 2 else [])
    views = sum(len(moment.streams) for moment in STORY) + 2
    assert len(search._memory.catalogue.key) <= 2 * views + 3


class LabelCalibration(PlainCalibration):
    """A moment is worth what it says of the class that is asked for, wherever its vector lies."""

    def confidences(self, candidates: Candidates, question: Encoded, modality: Modality) -> NDArray[np.floating]:
        asked = np.array([name == question.labels[0][0] for name in candidates.names])
        total = np.zeros(len(candidates.scores))
        for labels, probabilities in zip(candidates.labels, candidates.probabilities, strict=True):
            total += asked[labels] * probabilities
        return total


def test_what_a_moment_says_of_itself_finds_it_however_many_lie_nearer(tmp_path: Path) -> None:
    far = a_view("image", direction("rain"), labels=(("street", 0.2), ("siren", 0.1), ("dog", 0.7)))
    with Store(tmp_path) as store:
        for second in range(0, 3000, 3):
            store.put(at(second, camera=a_view("image", direction("dog"), labels=(("street", 0.9),))))
        store.put(at(1000, door=far)).result(20)
        with Search(tmp_path, ClassMind(), ExactIndex, LabelCalibration()) as search:
            [hit] = search.ask("seen:dog", now=0).hits
    assert (hit.ids, round(hit.confidence, 6)) == (("w1000",), 0.7)
    assert hit.reasons[0].labels == (("dog", 0.7),)


def test_moments_of_other_models_are_found_by_their_words_and_never_by_a_cosine(tmp_path: Path) -> None:
    def of(model: str, second: int) -> Moment:
        return replace(at(second, camera=seen("dog"), notes=said("tea")), model=model)

    def models(fingerprint: str) -> str:
        return fingerprint.partition("/")[0]

    with Store(tmp_path) as store:
        store.put(of("other/f32/a", 0)).result(10)
        with Search(tmp_path, ClassMind(), ExactIndex, PlainCalibration(), identity=models) as search:
            answer = search.ask("seen:dog", now=0)
            assert answer.verdict == "no confident match"
            assert "other models (other/f32/a)" in (answer.hint or "")
            assert ids(search, "said:tea") == [("w0",)]
            assert ids(search, "said:rain") == [], "by meaning neither"
            store.put(of("small-mind-1/another-processor", 10)).result(10)
            answer = search.ask("seen:dog", now=0)
            assert [hit.ids for hit in answer.hits] == [("w10",)] and answer.hint is None
            assert set(ids(search, "said:tea")) == {("w0",), ("w10",)}


def test_what_is_dropped_and_stored_while_a_search_is_open_is_followed_in_both_spaces(
    store: Store, search: Search
) -> None:
    sound = (np.zeros((10, 1), np.int16), 16000)
    assert ids(search, "", audio=sound) == [("w10", "w11")]
    store.put(at(10, camera=seen("dog"), mic=heard("rain"))).result(10)
    store.put(at(40, mic=heard("violin"), camera=a_view("image", direction("dog"), labels=(("street", 0.5),) * 5)))
    store.put(at(41, mic=heard("violin"))).result(10)
    assert set(ids(search, "", audio=sound)) == {("w11",), ("w40", "w41")}
    assert ("w40",) in ids(search, "seen:dog")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=30) | st.text(alphabet='"*()^:-+{}[]AND OR NOT NEAR/', max_size=20))
def test_no_characters_crash_the_full_text_search(search: Search, words: str) -> None:
    try:
        answer = search.ask(f"said:{words}", now=0)
    except QuestionError:
        return
    assert answer.verdict in ("match", "no confident match")
