"""Doctor is for the moment when nothing works: it must name the cause, and never be the second thing that breaks."""

from __future__ import annotations

import itertools
import sqlite3
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from daemon import doctor

REQUIRES = ["numpy>=2.0", "pyyaml>=6", "gone>=1", 'av>=13; extra == "media"']


def versions(name: str) -> str:
    known = {"numpy": "1.26.4", "pyyaml": "6.0.3"}
    if name not in known:
        raise PackageNotFoundError(name)
    return known[name]


def test_packages_too_old_or_missing_are_broken_and_extras_are_an_offer() -> None:
    old, fine, gone, extra = doctor.packages(REQUIRES, versions)
    assert (old.state, old.detail, old.todo) == ("broken", "1.26.4, too old (from 2.0 on)", "pip install 'numpy>=2.0'")
    assert (fine.state, fine.todo) == ("ok", None)
    assert (gone.state, gone.todo) == ("broken", "pip install 'gone>=1'")
    assert (extra.area, extra.state, extra.todo) == ("extra media", "missing", "pip install 'sensorium[media]'")
    assert "sound tracks" in extra.detail


def test_an_old_python_is_named() -> None:
    (found,) = doctor.python((3, 10, 4))
    assert found.state == "broken" and "3.11" in str(found.todo)


def test_devices_are_found_by_the_names_of_their_drivers(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").touch()
    (tmp_path / "dev/video2").touch()
    label = tmp_path / "sys/class/video4linux/video0/name"
    label.parent.mkdir(parents=True)
    label.write_text("Integrated Camera\n")
    assert [(found.name, found.detail) for found in doctor.cameras(tmp_path)] == [
        ("/dev/video0", "Integrated Camera"),
        ("/dev/video2", "a video device"),
    ]
    cards = tmp_path / "proc/asound/cards"
    cards.parent.mkdir(parents=True)
    cards.write_text(" 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      at 0xf7f10000 irq 31\n")
    assert [(found.name, found.detail) for found in doctor.sound_cards(tmp_path)] == [
        ("0 (PCH)", "HDA-Intel - HDA Intel PCH")
    ]


def test_a_machine_without_devices_gets_a_way_on_and_no_failure(tmp_path: Path) -> None:
    for (found,) in (doctor.cameras(tmp_path), doctor.sound_cards(tmp_path)):
        assert found.state == "missing" and found.todo


def test_models_are_named_with_the_command_that_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORIUM_MODELS", str(tmp_path))
    found = doctor.models()
    assert {model.state for model in found} == {"missing"}
    assert all("sensorium models pull" in str(model.todo) for model in found)


def test_a_store_is_counted_a_damaged_one_is_named_and_neither_is_touched(tmp_path: Path) -> None:
    from pipelines.store.schema import DATABASE

    (fresh,) = doctor.store(tmp_path)
    assert fresh.state == "ok" and list(tmp_path.iterdir()) == []

    path = tmp_path / DATABASE
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE moments(key INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO moments VALUES(?)", [(n,) for n in range(3)])
    connection.commit()
    connection.close()
    (found,) = doctor.store(tmp_path)
    assert found.state == "ok" and found.detail.startswith("3 moments")

    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    before = path.read_bytes()
    (found,) = doctor.store(tmp_path)
    assert found.state == "broken" and "not a database" in found.detail and found.todo
    assert path.read_bytes() == before


def test_a_large_store_does_not_make_doctor_hang(tmp_path: Path) -> None:
    from pipelines.store.schema import DATABASE

    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("CREATE TABLE moments(key INTEGER PRIMARY KEY, body TEXT)")
    connection.executemany("INSERT INTO moments(body) VALUES(?)", [(f"{n}" * 9,) for n in range(30_000)])
    connection.execute("CREATE INDEX by_body ON moments(body)")
    connection.commit()
    connection.close()
    reads = itertools.chain([0.0], itertools.repeat(doctor.PATIENCE + 1))
    (found,) = doctor.store(tmp_path, clock=lambda: next(reads))
    assert found.state == "ok" and "not enough" in found.detail


def test_disk_is_judged_where_the_store_will_be(tmp_path: Path) -> None:
    (found,) = doctor.disk([("store", tmp_path / "not" / "yet")])
    assert "free at" in found.detail and found.state in ("ok", "missing")
