"""The columns that matter to a model: a file with all of them, and a line about the most important ones."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.components.scores import greater_is_better, label

N_BEST = 10  # in the summary
N_NAMED = 5  # in the line
LEAST = 0.02  # of the most important one's importance, to be named


def write_importance(path: Path, importance: Sequence[dict[str, Any]]) -> None:
    """Write importance.csv: a row for each column or group of columns, the most important first."""
    names = ("column", "mean", "low", "high", "repeats")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(importance)


def best_columns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """The most important columns, for summary.json: column, mean, low, high, and the metric that becomes worse.

    Parameters
    ----------
    columns : dict
        As `pipeline.stages.columns.describe_columns` returns it.
    """
    names = ("column", "mean", "low", "high")
    best = columns["importance"][:N_BEST]
    return [{name: entry[name] for name in names} | {"metric": columns["metric"]} for entry in best]


def screening_note(columns: dict[str, Any]) -> str:
    """Of which columns the importance was measured; "" if of all."""
    n_columns, n_permuted = columns["n_columns"], columns["n_permuted"]
    if n_permuted == n_columns or not columns["importance"]:
        return ""
    return f"importance of columns: of {n_columns:,}, the {n_permuted} that change the predictions most were measured"


def columns_line(summary: dict[str, Any]) -> str:
    """The columns that matter, of those in summary.json, in one line of text; "" if nothing is known."""
    importance = summary["importance"]
    if not importance:
        return ""
    metric, ranking = importance[0]["metric"], summary["metric"]
    is_ranking = metric == ranking["name"]  # it may be a metric of the user's own
    name = ranking["label"] if is_ranking else label(metric)
    mattering = [entry for entry in importance if entry["low"] > 0 and entry["mean"] >= LEAST * importance[0]["mean"]]
    if not mattering:
        return f"none matters measurably: {name} is not worse beyond chance if one is shuffled"
    verb = "falls" if (ranking["greater_is_better"] if is_ranking else greater_is_better(metric)) else "rises"
    shown = ", ".join(f"{entry['column']} {_rounded(entry['mean'])}" for entry in mattering[:N_NAMED])
    return f"that matter: {shown} ({name} {verb} by so much if one is shuffled)"


def _rounded(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 100 else f"{value:,.0f}"
