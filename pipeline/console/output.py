"""What a run says as it goes: to people, in lines or as a table that is redrawn; to machines; or next to nothing."""

import sys
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from pipeline.components.fields import OutputMode
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
    """Where a run's words go. The calls come in this order, some again and again."""

    def begin(self, folder: Path) -> None:
        """The run has this folder."""

    def say(self, text: str) -> None:
        """A line for people, which begins with "warning:" if something is not as it was asked for."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage has come to its end."""

    def data(self, card: DataCard) -> None:
        """What the data are like."""

    def plan(self, found: dict[str, Any], lines: list[str]) -> None:
        """What a sweep would do: as figures, and in words."""

    def sweeping(self, now: SweepProgress) -> None:
        """A slice has come to its end."""

    def swept(self, now: SweepProgress) -> None:
        """The sweep has."""

    def leaderboard(self, ranking: Ranking, n_trials: int) -> None:
        """The order of the trials that have an answer, of so many."""

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """Who won, and the scores."""

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """All is written; with the command that shows it in MLflow, if there is one."""


class LineOutput:
    """For people: lines, and during the sweep a table that is redrawn, or a line now and then."""

    def __init__(self, console: Console, live: bool) -> None:
        self._console = console
        self._progress = LiveTable(console) if live else PlainProgress(self.say)

    def begin(self, folder: Path) -> None:
        """See Output; they see it at the end."""

    def say(self, text: str) -> None:
        """See Output."""
        self._console.print(text, soft_wrap=True)

    def stage(self, name: str, seconds: float) -> None:
        """See Output."""
        self.say(f"{name:<8} {seconds:5.1f} s")

    def data(self, card: DataCard) -> None:
        """See Output."""
        print_card(self._console, card)

    def plan(self, found: dict[str, Any], lines: list[str]) -> None:
        """See Output."""
        for line in lines:
            self.say(line)

    def sweeping(self, now: SweepProgress) -> None:
        """See Output."""
        self._progress.show(now)

    def swept(self, now: SweepProgress) -> None:
        """See Output."""
        self._progress.close(now)

    def leaderboard(self, ranking: Ranking, n_trials: int) -> None:
        """See Output."""
        print_leaderboard(self._console, ranking, n_trials)

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """See Output."""
        print_champion(self._console, summary, folder)

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""
        print_tracked(self._console, summary, view_command)


class QuietOutput:
    """Warnings, a plan that was asked for, and at the end who won and where it is."""

    def begin(self, folder: Path) -> None:
        """See Output."""

    def say(self, text: str) -> None:
        """See Output."""
        if text.startswith("warning:"):
            sys.stderr.write(f"{text}\n")

    def stage(self, name: str, seconds: float) -> None:
        """See Output."""

    def data(self, card: DataCard) -> None:
        """See Output."""

    def plan(self, found: dict[str, Any], lines: list[str]) -> None:
        """See Output."""
        sys.stdout.write("\n".join([*lines, ""]))

    def sweeping(self, now: SweepProgress) -> None:
        """See Output."""

    def swept(self, now: SweepProgress) -> None:
        """See Output."""

    def leaderboard(self, ranking: Ranking, n_trials: int) -> None:
        """See Output."""

    def champion(self, summary: dict[str, Any], folder: Path) -> None:
        """See Output."""
        said = champion_lines(summary, folder)
        sys.stdout.write(f"{said['champion']}; test {said['test']}; {said['folder']}\n")

    def end(self, summary: dict[str, Any], view_command: str | None) -> None:
        """See Output."""


def output_of(mode: OutputMode) -> Output:
    """The output that a setting names; auto: a live table in a terminal, plain lines elsewhere."""
    if mode == "quiet":
        return QuietOutput()
    if mode == "json":
        return JsonOutput(sys.stdout, Pace())
    console = plain_console()
    return LineOutput(console, live=mode == "live" or (mode == "auto" and console.is_terminal))
