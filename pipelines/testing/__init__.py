"""Fakes that ship: for our tests and for authors of sources, sinks and minds. All enter through public seams.

SettableClock     time that moves only when told
ScriptedSource    a source that yields what it was given, and may fail or wait at a chosen place
CollectingSink    a sink that remembers, and may refuse
SmallMind         a mind of forty lines without weights, as exact as the real one
"""

from pipelines.testing.clock import SettableClock
from pipelines.testing.mind import SmallMind
from pipelines.testing.sink import CollectingSink
from pipelines.testing.source import ScriptedSource

__all__ = ["CollectingSink", "ScriptedSource", "SettableClock", "SmallMind"]
