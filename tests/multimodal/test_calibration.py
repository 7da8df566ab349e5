"""A confidence that a person may act on: what a search would wrongly show, or wrongly keep back, if these failed.

A vocabulary of four classes in a space of six axes stands for the encoders; the numbers are round ones, so that each test
says which part of the formula it holds. The shipped numbers are held by the last tests, over the pulled models.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from multimodal.embeddings import TextModalityEncoder, models
from multimodal.embeddings.conse import Term, Vocabulary
from multimodal.errors import ModelMissingError
from multimodal.retrieval.calibration import EmbeddedCalibration, Parameters, SearchCalibration, WordsTo
from multimodal.retrieval.relevance import Relevance
from multimodal.retrieval.words import about, words

Labels = tuple[tuple[str, float], ...]


class Candidate(NamedTuple):
    score: float
    labels: Labels = ()
    quality: float = 1.0


class Question(NamedTuple):
    modality: str
    vector: NDArray[np.float32]
    text: str | None = None
    labels: Labels = ()


def axis(*numbers: int) -> NDArray[np.float32]:
    vector = np.zeros(6, np.float32)
    vector[list(numbers)] = 1 / math.sqrt(len(numbers))
    return vector


def vocabulary() -> Vocabulary:
    """tabby and Persian are cats, and with the beagle animals; the crane stands alone."""
    terms = [Term("tabby", (0,)), Term("Persian cat", (1,)), Term("beagle", (2,)), Term("crane", (3,)),
             Term("cat", (0, 1, 4)), Term("animal", (0, 1, 2, 4))]
    vectors = np.stack([axis(0), axis(1), axis(2), axis(3), axis(4), axis(5)])
    return Vocabulary(["tabby", "Persian cat", "beagle", "crane", "lynx"], vectors[:5], terms, vectors)


WORDS = WordsTo(
    relevance=(8.0, 8.0, 4.0, 4.0, -2.0, -6.0), answer=(1.0, 0.0, 1.0, 0.0, 1.0),
    vocabulary=(4.0, 4.0, 2.0, 2.0, -3.0))
ALIKE = {"image": (20.0, -12.0), "audio": (10.0, -8.0), "text": (20.0, -8.0)}
PARAMETERS = Parameters({"image": WORDS, "audio": WORDS}, ALIKE)
NOTHING = np.zeros(6, np.float32)


def calibration() -> SearchCalibration:
    return SearchCalibration({"image": vocabulary(), "audio": vocabulary()}, PARAMETERS)


def test_a_kind_is_answered_by_what_belongs_to_it() -> None:
    """Lost otherwise: "a cat" finds no tabby, because the name "tabby" is far from the word "cat"."""
    asked = Question("text", axis(4), "a cat")
    tabby, beagle = calibration().confidence(
        [Candidate(0.1, (("tabby", 0.9),)), Candidate(0.1, (("beagle", 0.9),))], asked, "image")
    assert tabby > 0.5 > 5 * beagle


def test_confidence_grows_with_what_the_moment_says_and_never_leaves_the_unit_interval() -> None:
    """Lost otherwise: a picture that is hardly a cat is shown above one that surely is."""
    asked = Question("text", axis(4), "a cat")
    shares = [0.0, 0.01, 0.1, 0.4, 0.8, 1.0]
    found = calibration().confidence([Candidate(0.1, (("tabby", p), ("crane", 1 - p))) for p in shares], asked, "image")
    assert found == sorted(found) and len(set(found)) == len(found)
    assert 0 <= found[0] < 0.1 and 0.5 < found[-1] <= 1


def test_classes_of_a_picture_add_up_and_classes_of_a_sound_are_separate() -> None:
    """Lost otherwise: a cat of which nobody can say the breed is no cat, or ten faint sounds make a loud one."""
    split = [Candidate(0.0, (("tabby", 0.3), ("Persian cat", 0.3), ("lynx", 0.3)))]
    one = [Candidate(0.0, (("tabby", 0.9),))]
    asked = Question("text", axis(4), "cat")
    of_picture, whole = (calibration().confidence(c, asked, "image")[0] for c in (split, one))
    assert of_picture == pytest.approx(whole, abs=1e-9)
    assert calibration().confidence(split, asked, "audio")[0] < of_picture


def test_one_moment_is_judged_without_the_others() -> None:
    """Lost otherwise: the same moment counts in a long recording and not in a short one."""
    asked = Question("text", axis(4), "a cat")
    rows = [Candidate(0.2, (("tabby", 0.5),)), Candidate(0.1, (("crane", 0.9),)), Candidate(0.0, ())]
    together = calibration().confidence(rows, asked, "image")
    assert together == [calibration().confidence([row], asked, "image")[0] for row in rows]
    assert calibration().confidence([], asked, "image") == []


def test_a_dead_signal_is_no_confident_answer() -> None:
    """Lost otherwise: a black picture matches, because a classifier says something of everything."""
    asked = Question("text", axis(4), "a cat")
    good, dim, dead = calibration().confidence(
        [Candidate(0.1, (("tabby", 0.9),), quality) for quality in (1.0, 0.05, 0.0)], asked, "image")
    assert good > dim > dead == 0


def test_names_that_no_vocabulary_knows_add_nothing() -> None:
    """Lost otherwise: a store written by another model brings the search down."""
    asked = Question("text", axis(4), "a cat")
    strange, none = calibration().confidence([Candidate(0.1, (("blorp", 0.9),)), Candidate(0.1)], asked, "image")
    assert strange == none < 0.1


def test_what_can_be_named_is_told_from_what_cannot() -> None:
    """Lost otherwise: "no such moment" where the truth is "I do not know the word", or the reverse."""
    known = calibration()
    assert known.in_vocabulary(Question("text", axis(4), "a cat"), "image")
    assert known.in_vocabulary(Question("text", axis(5), "an animal"), "audio")
    assert not known.in_vocabulary(Question("text", NOTHING, "quarterly tax report"), "image")
    assert known.in_vocabulary(Question("text", NOTHING, "quarterly tax report"), "text")
    assert known.in_vocabulary(Question("image", NOTHING), "image")


def test_an_example_is_judged_by_its_likeness() -> None:
    """Lost otherwise: a picture that is asked for itself is not found, or everything is."""
    known = calibration()
    for modality, cosine in (("image", 0.6), ("audio", 0.8), ("text", 0.4)):
        near, half, far = known.confidence(
            [Candidate(1.0), Candidate(cosine), Candidate(0.1)], Question(modality, NOTHING, "words"), modality)
        assert near > 0.85 and half == pytest.approx(0.5) and far < 0.05


def test_an_example_of_another_modality_is_asked_by_its_names() -> None:
    """Lost otherwise: a picture of a cat does not find the cat that is heard."""
    asked = Question("image", axis(0), None, (("tabby", 0.9), ("crane", 0.05)))
    cat, crane = calibration().confidence(
        [Candidate(0.5, (("tabby", 0.9),)), Candidate(0.1, (("crane", 0.9),))], asked, "audio")
    assert cat > 0.5 > crane


def test_words_of_a_question_are_compared_as_words() -> None:
    """Lost otherwise: "dogs" is not "dog", or "on a table" makes every table an answer."""
    assert words("The dogs were barking, berries!") == ["dog", "were", "bark", "berry"]
    assert about("a photo of a cat on a table") .split()[-1] == "cat"
    assert about("in the garden") == "in the garden"
    features = Relevance(vocabulary()).features(NOTHING, "two Persian cats on a crane")
    assert features[1].tolist() == [0, 0, 2, 0, 0]
    assert features[3].tolist() == [0, 0, 0, 0, 1]
    assert not Relevance(vocabulary()).features(NOTHING, None).any()


def test_the_longest_name_in_a_question_counts() -> None:
    """Lost otherwise: a hot dog is answered with dogs, a smoke alarm with every alarm."""
    terms = [Term("dog", (0,)), Term("hot dog", (1,))]
    named = Vocabulary(["dog", "hot dog"], np.stack([axis(0), axis(1)]), terms, np.stack([axis(0), axis(1)]))
    relevance = Relevance(named)
    assert relevance.features(NOTHING, "a hot dog")[:, 2].tolist() == [0, 2]
    assert relevance.features(NOTHING, "a dog")[:, 2].tolist() == [1, 0]


def test_the_plural_of_a_thing_is_the_thing() -> None:
    """Lost otherwise: "buses" finds no bus and "mice" no mouse, while a nurse and her headache lose letters on one side."""
    pairs = "bus buses fox foxes church churches dish dishes knife knives mouse mice woman women glove gloves horse horses"
    pairs += " headache headaches axe axes fuse fuses nurse nurses glass glasses berry berries house houses wave waves"
    both = [words(word) for word in pairs.split()]
    assert both[::2] == both[1::2]
    assert len({tuple(word) for word in both}) == len(both) // 2


def test_two_words_written_as_one_are_the_same_name() -> None:
    """Lost otherwise: a tea pot is a pot and no teapot, and a schoolbus is nothing."""
    names = ["teapot", "pot", "school bus", "waterfall", "water"]
    vectors = np.eye(5, 6, dtype=np.float32)
    relevance = Relevance(Vocabulary(names, vectors))
    assert relevance.features(NOTHING, "an old tea pot")[:, 2].tolist() == [2, 0, 0, 0, 0]
    assert relevance.features(NOTHING, "schoolbuses")[:, 2].tolist() == [0, 0, 1, 0, 0]
    assert relevance.features(NOTHING, "a water fall")[:, 2].tolist() == [0, 0, 0, 2, 0]
    assert relevance.features(NOTHING, "water")[:, 2].tolist() == [0, 0, 0, 0, 1]


def test_a_part_of_a_name_is_the_name_where_it_means_the_same() -> None:
    """Lost otherwise: a typewriter is outside the vocabulary that has typewriter keyboards - or a bee is a bee eater."""
    names = ["typewriter keyboard", "bee eater", "bee"]
    relevance = Relevance(Vocabulary(names, np.eye(3, 6, dtype=np.float32)))
    near, far = axis(0), (0.7 * axis(0) + 0.7 * axis(5)).astype(np.float32)
    assert relevance.features(near, "a typewriter")[:, 2].tolist() == [1, 0, 0]
    assert relevance.features(far, "a typewriter")[:, 2].tolist() == [0, 0, 0]
    assert relevance.features(axis(1), "a bee")[:, 2].tolist() == [0, 0, 1]


def test_shipped_numbers_are_complete() -> None:
    """Lost otherwise: an installed search fails at its first question."""
    shipped = Parameters.shipped()
    assert set(shipped.words_to) == {"image", "audio"} and set(shipped.alike) == {"image", "audio", "text"}
    for fitted in shipped.words_to.values():
        assert [len(row) for row in fitted] == [6, 5, 5]
        assert min(fitted.relevance[:4]) >= 0 >= fitted.relevance[4]
        assert min(fitted.answer[0], fitted.answer[1], fitted.answer[3]) >= 0


@pytest.fixture(scope="module")
def embedded() -> tuple[EmbeddedCalibration, TextModalityEncoder]:
    try:
        models.folder_of("minilm")
        return EmbeddedCalibration(), TextModalityEncoder()
    except ModelMissingError as missing:
        pytest.skip(str(missing))


SEEN: tuple[tuple[str, Labels], ...] = (
    ("a cat", (("tabby", 0.5), ("Egyptian cat", 0.3))),
    ("a dog running", (("golden retriever", 0.6), ("Labrador retriever", 0.2))),
    ("violin", (("violin", 0.8), ("cello", 0.1))),
    ("a red car", (("sports car", 0.5), ("convertible", 0.3))),
    ("a bird", (("jay", 0.6), ("magpie", 0.2))),
    ("a cup of coffee", (("espresso", 0.7), ("cup", 0.2))),
)
HEARD: tuple[tuple[str, Labels], ...] = (
    ("a dog barking", (("Dog", 0.9), ("Bark", 0.8), ("Animal", 0.9))),
    ("rain", (("Rain", 0.7), ("Raindrop", 0.5), ("Water", 0.4))),
    ("someone speaking", (("Speech", 0.95), ("Narration, monologue", 0.2))),
    ("a violin", (("Violin, fiddle", 0.8), ("Music", 0.9))),
    ("ocean waves", (("Waves, surf", 0.7), ("Ocean", 0.7))),
    ("a phone ringing", (("Telephone", 0.9), ("Telephone bell ringing", 0.8))),
)
UNSEEN = {
    "image": ("a helicopter", "a pizza", "a lighthouse", "an elephant"),
    "audio": ("a helicopter", "a chainsaw", "church bells", "a baby crying"),
}
UNNAMEABLE = ("xyzzy flurb", "asdfgh", "the smell of lavender", "quarterly tax report", "my grandmother's wedding")


@pytest.mark.models
@pytest.mark.parametrize(("modality", "scenes"), [("image", SEEN), ("audio", HEARD)])
def test_natural_questions_find_their_scene_and_no_other(
    embedded: tuple[EmbeddedCalibration, TextModalityEncoder], modality: str, scenes: tuple[tuple[str, Labels], ...]
) -> None:
    """Lost otherwise: a small recording answers ordinary questions with the wrong scene, or not at all."""
    known, text = embedded
    vocabulary = known.vocabularies[modality]
    places = []
    for _, labels in scenes:
        probabilities = np.zeros(len(vocabulary.names), np.float32)
        for name, p in labels:
            probabilities[vocabulary.names.index(name)] = p
        places.append(vocabulary.place(probabilities, len(labels)))
    for number, (asked, _) in enumerate(scenes):
        vector = text(asked).embedding.numpy()
        question = Question("text", vector, asked)
        candidates = [Candidate(float(vector @ place), labels) for place, (_, labels) in zip(places, scenes, strict=True)]
        assert known.in_vocabulary(question, modality), asked
        confidences = known.confidence(candidates, question, modality)
        assert int(np.argmax(confidences)) == number, asked
        assert [c >= 0.5 for c in confidences].count(True) == 1, (asked, confidences)
    for asked in UNSEEN[modality]:
        vector = text(asked).embedding.numpy()
        candidates = [Candidate(float(vector @ place), labels) for place, (_, labels) in zip(places, scenes, strict=True)]
        assert max(known.confidence(candidates, Question("text", vector, asked), modality)) < 0.5, asked


@pytest.mark.models
def test_what_nobody_can_name_is_outside_the_vocabulary(
    embedded: tuple[EmbeddedCalibration, TextModalityEncoder]
) -> None:
    """Lost otherwise: nonsense is answered with "nothing found", as if it had been understood."""
    known, text = embedded
    for asked in UNNAMEABLE:
        question = Question("text", text(asked).embedding.numpy(), asked)
        assert not known.in_vocabulary(question, "image"), asked
        assert not known.in_vocabulary(question, "audio"), asked
