"""The whole path: recordings made here, replayed through the parts that the program puts together."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `scenes` and `live`, which these tests share
