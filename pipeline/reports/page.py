"""Settings of the report."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, PositiveInt


@runtime_checkable
class Reporting(Protocol):
    """Settings that can write a report."""

    def load(self) -> None:
        """Import the libraries that `write` needs."""

    def write(self, folder: Path) -> Path | None:
        """Write the report of the run in `folder`, from the files there.

        Returns
        -------
        Path or None
            The report's path; None if there is no report.
        """


@dataclass(frozen=True, config=STRICT)
class Page:
    """Write report.html, and its plots into the folder plots.

    Parameters
    ----------
    leaderboard : int, >= 1
        Trials in the table that unfolds below the best ten.
    """

    leaderboard: PositiveInt

    def load(self) -> None:
        """See Reporting."""
        import pipeline.reports.report  # noqa: F401

    def write(self, folder: Path) -> Path:
        """See Reporting."""
        from pipeline.reports.report import write_report

        return write_report(folder, self.leaderboard)


@dataclass(frozen=True, config=STRICT)
class NoPage:
    """No report."""

    def load(self) -> None:
        """See Reporting."""

    def write(self, folder: Path) -> None:
        """See Reporting."""
