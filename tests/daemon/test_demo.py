"""`make demo` is the first thing anybody sees."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.models


def test_without_a_terminal_it_shows_the_moments_answers_three_questions_and_ends():
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for expected in ("By picture", "giant panda", "By sound", "Crow", "By words", "burnt the toast", "deadline"):
        assert expected in done.stdout
    assert "No confident match" not in done.stdout
