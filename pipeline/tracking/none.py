"""No tracking: the run's folder is all there is."""

from collections.abc import Callable
from pathlib import Path

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT


@dataclass(frozen=True, config=STRICT)
class NoTracking:
    """Track nothing."""

    def describe(self, runs: Path) -> None:
        """There is nothing to know."""

    def start(self, journal: Path) -> "NoTracker":
        """A tracker that does nothing."""
        return NoTracker()

    def view_command(self, runs: Path) -> None:
        """There is nothing to see."""


class NoTracker:
    """Does nothing."""

    def finish(self, say: Callable[[str], None]) -> None:
        """There is nothing to wait for."""
