"""What a run's folder says of the run: everything that a report is made of."""

import csv
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.components.scores import LOSS, RankingMetric, label, present
from pipeline.runs.records import TrialRecord
from pipeline.runs.replay import replayed

METRIC_COLUMN = re.compile(r"validation/\w+")  # of the leaderboard: those of deviations and intervals end otherwise


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
    diagnosis : dict
        Of the champion; empty before there is one.
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
    diagnosis: dict[str, Any]
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
    def metric_name(self) -> str:
        """The metric without its rows, such as "loss"."""
        return self.ranking_metric.name

    def label(self, metric: str) -> str:
        """A metric's name for people, with "validation" or "train" in front of it where it has these."""
        rows, _, name = metric.rpartition("/")
        text = self.ranking_metric.label if name == self.metric_name else label(name)
        return f"{rows} {text}".strip()

    def headline(self, known: Collection[str]) -> list[str]:
        """Those of the scores that people look at first that are known, that of the ranking before the others."""
        names = present(self.summary.get("headline") or [*known], known)
        is_ranked = self.metric_name in known and self.metric_name != LOSS
        return list(dict.fromkeys([*([self.metric_name] if is_ranked else []), *names]))

    @property
    def validation_metrics(self) -> list[str]:
        """The metrics of validation rows in the leaderboard, that of the ranking first."""
        known = [name.partition("/")[2] for name in (self.leaderboard or [{}])[0] if METRIC_COLUMN.fullmatch(name)]
        is_log_loss = self.metric_name == LOSS and "log_loss" in known  # the loss of classifiers is one
        names = dict.fromkeys([self.metric_name, *self.headline(known), *known])
        return [name for name in names if not (is_log_loss and name == "log_loss")]

    @property
    def best(self) -> Callable[..., Any]:
        """The function that returns the best of some scores: min or max."""
        return min if self.smaller_is_better else max

    @property
    def ranked_rows(self) -> list[dict[str, str]]:
        """The rows of the trials that are ranked."""
        return [row for row in self.leaderboard if row["rank"]]

    def scores(self) -> dict[str, float]:
        """By ranked trial, best first, the mean of the metric."""
        return {row["trial"]: float(row[self.metric]) for row in self.ranked_rows}

    def interval(self, row: dict[str, str], metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a trial's score, such as that of "validation/loss", if it is known."""
        low, high = row.get(f"{metric} 95% low"), row.get(f"{metric} 95% high")
        return (float(low), float(high)) if low and high else None

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
        _json(folder / "diagnosis.json") or {},
        history.metric,
        history.session["command"],
    )


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
