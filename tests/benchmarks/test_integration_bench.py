"""The table that says what each switch is worth must have a row for each, and be right about equal bits."""

import json

import pytest

from benchmarks import integration


@pytest.mark.models
def test_every_switch_has_its_row_and_the_modes_agree_to_the_bit(capsys):
    integration.run(True, "cpu", moments=2, repeats=1, calls=16, settled=16)
    figures = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)["figures"]}
    assert figures["modes equal to the bit"] == 1
    for switch in ("num_workers", "batch_size", "mixed_precision", "max_image_size", "cache_size", "index_size", "debug"):
        rows = [value for name, value in figures.items() if name.startswith(switch)]
        assert rows, switch
        assert all(value > 0 for value in rows)
