"""OpenVINO without its telemetry.

``import openvino`` alone sends an event to its makers, from a forked process that may outlive us and copies the locks of
all threads. With the telemetry package out of reach OpenVINO takes a stub of its own: nothing of ours calls home.
"""

from __future__ import annotations

import sys
from typing import Any


def openvino() -> Any:
    """The module. Every use of OpenVINO comes by here."""
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # importing it fails from now on
    import openvino as module

    return module
