"""A saved retriever is whole or refused: what is foreign, damaged or half written is never loaded nor costs the old one."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.errors import InputError
from multimodal.retrieval import VisionLanguageRetrieval
from multimodal.retrieval.contents import decoded, encoded
from multimodal.retrieval.saving import MANIFEST, opened, written


class Colour(StrEnum):
    RED = "red"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    with written(tmp_path / "folder", "thing") as out:
        out.arrays("numbers", {"one": np.arange(5), "none": np.zeros((0, 3), np.float16)})
        out.document("words", {"a": [1, 2.5, None]})
    return tmp_path / "folder"


def test_what_was_written_is_read(saved: Path) -> None:
    source = opened(saved, "thing")
    arrays = source.arrays("numbers")
    assert arrays["one"].tolist() == [0, 1, 2, 3, 4] and arrays["none"].shape == (0, 3)
    assert source.document("words") == {"a": [1, 2.5, None]}
    with pytest.raises(InputError, match="damaged"):
        source.document("others")


def test_who_is_interrupted_keeps_the_old_state(saved: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written(saved, "thing") as out:
        out.arrays("numbers", {"one": np.zeros(2)})
        raise KeyboardInterrupt
    assert opened(saved, "thing").arrays("numbers")["one"].tolist() == [0, 1, 2, 3, 4]
    assert len(list(saved.iterdir())) == 2
    (saved / "state-of-a-dead-one").mkdir()
    with written(saved, "thing") as out:
        out.document("words", "new")
    assert opened(saved, "thing").document("words") == "new"
    assert len(list(saved.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_file_is_refused_by_name(saved: Path, damage: str) -> None:
    file = next(saved.glob("state-*/numbers.one.npy"))
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        content[-1] ^= 1
        file.write_bytes(content if damage == "flip" else content[:-1])
    with pytest.raises(InputError, match=r"damaged.*numbers\.one\.npy"):
        opened(saved, "thing")
    if damage == "flip":
        assert opened(saved, "thing", verify=False)
    else:
        with pytest.raises(InputError, match="damaged"):
            opened(saved, "thing", verify=False)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("no json", "no JSON"),
        ("[]", "something else"),
        ('{"format": "of others"}', "something else"),
        ({"version": 99}, "version 99"),
        ({"kind": "other"}, "holds a other, not a thing"),
        ({"files": None}, "names no files"),
    ],
)
def test_what_is_foreign_is_refused_with_the_reason(saved: Path, manifest: Any, said: str) -> None:
    path = saved / MANIFEST
    if isinstance(manifest, dict):
        manifest = json.dumps(json.loads(path.read_text()) | manifest)
    path.write_text(manifest)
    with pytest.raises(InputError, match=said):
        opened(saved, "thing")


def test_nothing_else_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError), written(path, "thing"):
            pass
    with pytest.raises(InputError, match="no folder"):
        opened(tmp_path / "nowhere", "thing")
    with pytest.raises(InputError, match="no folder"):
        opened(tmp_path, "thing")


def test_contents_come_back_as_they_were() -> None:
    value = {
        "words": ["a", 1, 2.5, None, True], "pair": (1, ("x",)), "raw": b"\x00\xff", "path": Path("a/b"),
        "picture": np.arange(6, dtype=np.uint8).reshape(2, 3), "tensor": torch.ones(2, dtype=torch.bfloat16),
        "scalar": np.float32(0.5), "colour": Colour.RED, "_is": "bytes",
    }  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    tensors: dict[str, torch.Tensor] = {}
    again = decoded(json.loads(json.dumps(encoded(value, arrays, tensors, "it"))), arrays, tensors)
    assert again.keys() == value.keys()
    assert all(again[name] == value[name] for name in ("words", "pair", "raw", "scalar", "colour", "_is"))
    assert isinstance(again["path"], PurePath) and again["path"] == value["path"]
    assert np.array_equal(again["picture"], value["picture"]) and again["picture"].dtype == np.uint8
    assert torch.equal(again["tensor"], value["tensor"]) and again["tensor"].dtype is torch.bfloat16


@pytest.mark.parametrize("value", [object(), {1: "number as a name"}, np.array([object()]), {"deep": [set()]}])
def test_what_would_need_pickle_is_refused_and_costs_nothing(tmp_path: Path, value: Any) -> None:
    retriever = VisionLanguageRetrieval(4, 4)
    retriever.index_text("good", torch.ones(4))
    retriever.save(tmp_path / "saved")
    key = retriever.index_image(value, torch.ones(4))
    with pytest.raises(InputError, match=rf"key {key} holds a .* cannot be saved"):
        retriever.save(tmp_path / "saved")
    assert len(VisionLanguageRetrieval.load(tmp_path / "saved")) == 1
