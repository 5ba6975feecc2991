"""What a run's folder says of the run: everything that a report is made of."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.components.scores import RankingMetric
from pipeline.runs.records import TrialRecord
from pipeline.runs.replay import replayed


@dataclass(frozen=True)
class RunContents:
    """The contents of a run's folder.

    Parameters
    ----------
    folder : Path
    settings : dict
        Of the last session.
    summary : dict
        See `pipeline.runs.summary`.
    leaderboard : list of dict
        A row for each trial, best first; texts, as the file has them.
    trials : dict of str to TrialRecord
        By key, with their curves.
    card : dict or None
        Of the data; None before they were read.
    diagnosis : dict or None
        Of the champion.
    ranking_metric : RankingMetric
    command : str
        That began the last session.
    """

    folder: Path
    settings: dict[str, Any]
    summary: dict[str, Any]
    leaderboard: list[dict[str, str]]
    trials: dict[str, TrialRecord]
    card: dict[str, Any] | None
    diagnosis: dict[str, Any] | None
    ranking_metric: RankingMetric
    command: str

    @property
    def metric(self) -> str:
        """The name of the ranking's metric in curves and columns, such as "validation/loss"."""
        return self.ranking_metric.curve

    @property
    def smaller_is_better(self) -> bool:
        """Whether smaller values of the metric are better."""
        return not self.ranking_metric.greater_is_better

    @property
    def ranked_rows(self) -> list[dict[str, str]]:
        """The rows of the trials that are ranked."""
        return [row for row in self.leaderboard if row["rank"]]

    def scores(self) -> dict[str, float]:
        """By ranked trial, best first, the mean of the metric."""
        return {row["trial"]: float(row[self.metric]) for row in self.ranked_rows}

    def rate(self, row: dict[str, str]) -> float | None:
        """The learning rate of a trial's optimizer."""
        value = row.get("optimizer.learning_rate")
        return float(value) if value else None


def run_contents(folder: Path) -> RunContents:
    """Read the folder of a run. What an interrupted run has not written yet is empty.

    Raises
    ------
    SettingError
        If its journal is damaged, or has no settings.
    """
    history = replayed(folder)
    if not history.session.get("settings"):
        raise SettingError(f"run={folder.name}: its journal does not say with which settings it began")
    rows: list[dict[str, str]] = []
    if (folder / "leaderboard.csv").exists():
        with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return RunContents(
        folder,
        history.session["settings"],
        _json(folder / "summary.json") or {},
        rows,
        history.trials,
        _json(folder / "data_card.json"),
        _json(folder / "diagnosis.json"),
        history.metric,
        history.session["command"],
    )


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
