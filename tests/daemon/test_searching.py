"""A store is asked by whoever has the same encoders: another fusion must not hide what was kept under the one before."""

from dataclasses import replace

import pytest

from daemon.config import Config, Mind, Store
from daemon.mind import open_mind
from daemon.searching import open_search
from pipelines.store import Store as Written
from pipelines.testing.moments import a_moment, a_view
from tests.multimodal import checkpoints

pytestmark = pytest.mark.models


class Renamed:
    """The same mind under another fingerprint."""

    def __init__(self, mind, fingerprint):
        self._mind, self.fingerprint = mind, fingerprint

    def __getattr__(self, name):
        return getattr(self._mind, name)


def test_another_fusion_finds_what_was_stored_before_and_other_encoders_do_not(pulled, tmp_path):
    config = Config(store=Store(path=tmp_path))
    with open_mind(config) as mind:
        seen = mind.question(text="a dog")
        view = a_view("image", seen.vector, labels=(("Labrador retriever", 0.9),))
        with Written(tmp_path) as store:
            store.put(replace(a_moment("m1", {"camera": view}), model=mind.fingerprint)).result(10)
        models, _, rest = mind.fingerprint.partition("/")
        encoders = models.rpartition("+")[0]
        for name, found in ((f"{encoders}+early@0123abcd/{rest}", 1), (f"other+{encoders}+mean/{rest}", 0)):
            with open_search(config, mind=Renamed(mind, name)) as search:
                assert len(search.ask("seen:dog", now=0).hits) == found, name


def test_words_of_another_text_model_are_asked_in_its_own_space(pulled, tmp_path):
    """Lost otherwise: every question in words fails as soon as `mind.text` is not the embedded one."""
    name = str(checkpoints.sentences(tmp_path / "model"))
    config = Config(mind=Mind(text=name), store=Store(path=tmp_path / "store"))
    with open_mind(config) as mind:
        seen = mind.question(text="a dog")
        view = a_view("image", seen.vector, labels=(("Labrador retriever", 0.9),))
        with Written(tmp_path / "store") as store:
            store.put(replace(a_moment("m1", {"camera": view}), model=mind.fingerprint)).result(10)
        with open_search(config, mind=mind) as search:
            assert search.ask("seen:dog", now=0).verdict in {"match", "no confident match", "outside vocabulary"}
