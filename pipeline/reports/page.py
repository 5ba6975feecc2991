"""Settings of the report."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic.dataclasses import dataclass

from pipeline.settings.strict import STRICT, PositiveInt


@runtime_checkable
class Reporting(Protocol):
    """Settings that can write a report."""

    def write(self, folder: Path) -> Path | None:
        """Write the report of the run in the folder; its path."""


@dataclass(frozen=True, config=STRICT)
class Page:
    """report.html and the folder plots.

    leaderboard   trials that it shows
    """

    leaderboard: PositiveInt

    def write(self, folder: Path) -> Path:
        """See Reporting."""
        from pipeline.reports.report import write_report  # matplotlib takes its time to load

        return write_report(folder, self.leaderboard)


@dataclass(frozen=True, config=STRICT)
class NoPage:
    """No report."""

    def write(self, folder: Path) -> None:
        """There is none."""
