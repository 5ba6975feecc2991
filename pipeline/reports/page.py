"""Settings of the report."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, PositiveInt
from pipeline.reports.drawer import Drawer, DrawingProcess, NoDrawer


@runtime_checkable
class Reporting(Protocol):
    """Settings that can have a report drawn."""

    def drawer(self, folder: Path) -> AbstractContextManager[Drawer]:
        """Who draws the report of the run in the folder."""


@dataclass(frozen=True, config=STRICT)
class Page:
    """report.html and the folder plots.

    leaderboard   trials that it shows
    """

    leaderboard: PositiveInt

    def drawer(self, folder: Path) -> AbstractContextManager[Drawer]:
        """See Reporting."""
        return DrawingProcess(folder, self.leaderboard)


@dataclass(frozen=True, config=STRICT)
class NoPage:
    """No report."""

    def drawer(self, folder: Path) -> AbstractContextManager[Drawer]:
        """See Reporting."""
        return nullcontext(NoDrawer())
