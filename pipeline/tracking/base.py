"""What tracking can do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Tracker(Protocol):
    """Tracks one run, beside it."""

    def finish(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Wait until all is written; what was written and where, or None. Call it after the last event."""


@runtime_checkable
class Tracking(Protocol):
    """Settings that can start a tracker."""

    def describe(self, runs: Path) -> dict[str, Any] | None:
        """What the tracker must know, as plain values for the journal's first event."""

    def start(self, journal: Path) -> Tracker:
        """Begin to follow the journal, whose first event is there already."""

    def view_command(self, runs: Path) -> str | None:
        """The command that starts a server of the tracked runs at http://127.0.0.1:5000, if one is needed."""
