"""Every example runs, so that what a reader copies works."""

from importlib import import_module
from pathlib import Path

import pytest

import examples

MAKERS = {"make_recording", "train_generators"}
"""They make what is shipped, out of material that has to be fetched, and take minutes."""

NAMES = sorted(path.stem for path in Path(examples.__file__).parent.glob("[!_]*.py") if path.stem not in MAKERS)


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_example(name, capsys):
    import_module(f"examples.{name}").main()
    assert capsys.readouterr().out.strip(), "an example that shows nothing explains nothing"


def test_there_is_an_example_of_every_part_of_the_library():
    parts = {"attention", "fusion", "space", "retrieval", "visualization", "processor", "generation"}
    assert parts <= set(NAMES)
