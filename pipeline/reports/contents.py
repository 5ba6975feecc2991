"""What a run's folder says of the run: everything that a report is made of."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.runs.journal import damaged, events
from pipeline.tracking.trial_run import TrialRun, Trials


@dataclass(frozen=True)
class RunContents:
    """A run.

    settings      of its last session
    leaderboard   a row for each trial, best first; texts, as the file has them
    trials        by key, with their curves
    card          of the data; None before they were read
    diagnosis     of the champion, or None
    metric        what the ranking goes by, such as "validation/loss"
    command       that was given in its last session
    """

    folder: Path
    settings: dict[str, Any]
    summary: dict[str, Any]
    leaderboard: list[dict[str, str]]
    trials: dict[str, TrialRun]
    card: dict[str, Any] | None
    diagnosis: dict[str, Any] | None
    metric: str
    command: str

    @property
    def smaller_is_better(self) -> bool:
        """Whether the metric is a loss."""
        return self.metric.endswith("loss")

    @property
    def answering(self) -> list[dict[str, str]]:
        """The rows of the trials that have an answer."""
        return [row for row in self.leaderboard if row["rank"]]

    def scores(self) -> dict[str, float]:
        """By trial with an answer, best first, the mean of the metric."""
        return {row["trial"]: float(row[self.metric]) for row in self.answering}

    def rate(self, row: dict[str, str]) -> float | None:
        """The learning rate of a trial's optimizer."""
        value = row.get("optimizer.learning_rate")
        return float(value) if value else None


def run_contents(folder: Path) -> RunContents:
    """Read the folder. Files that a run that was cut off has not come to are empty."""
    session: dict[str, Any] = {}
    trials = Trials()
    path = folder / "journal.jsonl"
    for number, happened in enumerate(events(path), start=1):
        try:
            trials.handle(happened)
        except (KeyError, IndexError, ValueError) as error:  # it names what nobody has asked for
            raise damaged(path, number, error) from None
        session = happened if happened["event"] == "run" else session
    try:
        metric = f"validation/{session['settings']['select']['metric']}"
    except (KeyError, TypeError):
        raise SettingError(f"run={folder.name}: its journal does not say how it was made") from None
    rows: list[dict[str, str]] = []
    if (folder / "leaderboard.csv").exists():
        with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return RunContents(
        folder,
        session["settings"],
        _json(folder / "summary.json") or {},
        rows,
        trials.runs,
        _json(folder / "data_card.json"),
        _json(folder / "diagnosis.json"),
        metric,
        session.get("command", ""),
    )


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
