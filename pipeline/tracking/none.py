"""No tracking: only the run's folder is written."""

from collections.abc import Callable
from pathlib import Path

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT


@dataclass(frozen=True, config=STRICT)
class NoTracking:
    """Do not track."""

    def describe(self, runs: Path) -> None:
        """See Tracking."""

    def check(self, runs: Path) -> str:
        """See Tracking."""
        return ""

    def start(self, journal: Path) -> "NoTracker":
        """See Tracking."""
        return NoTracker()

    def view_command(self, runs: Path) -> None:
        """See Tracking."""


class NoTracker:
    """Does nothing."""

    def finish(self, say: Callable[[str], None], interrupted: bool = False) -> None:
        """See Tracker."""
