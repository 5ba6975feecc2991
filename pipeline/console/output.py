"""The output of a run while it works: lines, a live table, JSON for programs, or only the result."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from pipeline.components.fields import OutputMode
from pipeline.components.printable import printable
from pipeline.components.types import DataCard
from pipeline.console.closing import champion_lines, print_champion, print_tracked
from pipeline.console.json_lines import JsonOutput
from pipeline.console.leaderboard import print_leaderboard
from pipeline.console.live import LiveTable
from pipeline.console.progress import Pace, PlainProgress, SweepProgress
from pipeline.console.terminal import plain_console
from pipeline.data.card import print_card
from pipeline.engine.ranking import Ranking


class Output(Protocol):
    """Receives what a run reports. The methods are called in this order, some of them repeatedly."""

    def begin(self, folder: Path) -> None:
        """The run has this folder."""

    def say(self, text: str) -> None:
        """A message; it begins with "warning:" if something is not as requested."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage is finished."""

    def data(self, card: DataCard) -> None:
        """The data are loaded; their data card."""

    def plan(self, figures: dict[str, Any], lines: list[str]) -> None:
        """The plan of a sweep (plan=true), as figures and as lines of text."""

    def sweeping(self, progress: SweepProgress) -> None:
        """A slice is finished."""

    def swept(self, progress: SweepProgress) -> None:
        """The sweep is finished."""

    def leaderboard(self, ranking: Ranking, n_trials: int, baselines: dict[str, Any], headline: Sequence[str]) -> None:
        """The ranked trials; `n_trials` counts those without a result. Baselines and headline as in the summary."""

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """The champion and its scores."""

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """The run is finished; `view_command` starts MLflow's UI, if the run was tracked."""


class LineOutput:
    """Lines of text; during the sweep a live table, or a line at intervals."""

    def __init__(self, console: Console, live: bool) -> None:
        self._console = console
        self._progress = LiveTable(console) if live else PlainProgress(self.say)

    def begin(self, folder: Path) -> None:
        """See Output; the folder is printed at the end."""

    def say(self, text: str) -> None:
        """See Output."""
        self._console.print(text, soft_wrap=True)

    def stage(self, name: str, seconds: float) -> None:
        """See Output."""
        self.say(f"{name:<8} {seconds:5.1f} s")

    def data(self, card: DataCard) -> None:
        """See Output."""
        print_card(self._console, card)

    def plan(self, figures: dict[str, Any], lines: list[str]) -> None:
        """See Output."""
        for line in lines:
            self.say(line)

    def sweeping(self, progress: SweepProgress) -> None:
        """See Output."""
        self._progress.show(progress)

    def swept(self, progress: SweepProgress) -> None:
        """See Output."""
        self._progress.close(progress)

    def leaderboard(self, ranking: Ranking, n_trials: int, baselines: dict[str, Any], headline: Sequence[str]) -> None:
        """See Output."""
        print_leaderboard(self._console, ranking, n_trials, baselines, headline)

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """See Output."""
        print_champion(self._console, summary, folder)

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""
        print_tracked(self._console, summary, view_command)


class QuietOutput:
    """Only warnings, the plan if requested, and the champion with its model's address at the end."""

    _line = ""

    def begin(self, folder: Path) -> None:
        """See Output."""

    def say(self, text: str) -> None:
        """See Output."""
        if text.startswith("warning:"):
            sys.stderr.write(f"{printable(text)}\n")

    def stage(self, name: str, seconds: float) -> None:
        """See Output."""

    def data(self, card: DataCard) -> None:
        """See Output."""

    def plan(self, figures: dict[str, Any], lines: list[str]) -> None:
        """See Output."""
        sys.stdout.write(printable("\n".join([*lines, ""])))

    def sweeping(self, progress: SweepProgress) -> None:
        """See Output."""

    def swept(self, progress: SweepProgress) -> None:
        """See Output."""

    def leaderboard(self, ranking: Ranking, n_trials: int, baselines: dict[str, Any], headline: Sequence[str]) -> None:
        """See Output."""

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """See Output."""
        lines = champion_lines(summary, folder)
        scores = f"test {lines['test']}" if summary["best"]["test"] else f"validation {lines['validation']}"
        self._line = f"{lines['champion']}; {scores}; {lines['folder']}"

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""
        registered = f"; {summary['model']['uri']}" if summary["model"]["uri"] else ""
        sys.stdout.write(printable(f"{self._line}{registered}\n"))


def output_of(mode: OutputMode) -> Output:
    """Return the output of a setting; auto is a live table in a terminal and plain lines elsewhere."""
    if mode == "quiet":
        return QuietOutput()
    if mode == "json":
        return JsonOutput(sys.stdout, Pace())
    console = plain_console()
    return LineOutput(console, live=mode == "live" or (mode == "auto" and console.is_terminal))
