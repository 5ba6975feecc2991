"""The leaderboard, in the terminal and as a file."""

import csv
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.sweep.results import TrialResult


def write_leaderboard(path: Path, ranking: list[TrialResult], everything: list[TrialResult]) -> None:
    """One line per trial, best first, those that diverged last; with several folds means and deviations."""
    ranked = {result.trial.key for result in ranking}
    rows = [_row(rank, result) for rank, result in enumerate(ranking, start=1)]
    rows += [_row(None, result) for result in everything if result.trial.key not in ranked]
    parameters = dict.fromkeys(name for result in everything for name in result.trial.parameters)
    names = dict.fromkeys(["rank", "trial", *parameters, *(name for row in rows for name in row)])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)


def print_leaderboard(console: Console, ranking: list[TrialResult], n_trials: int, top: int = 10) -> None:
    """The best trials as a table."""
    n_folds = len(ranking[0].networks)
    metrics = [name for name in ranking[0].mean if name.startswith("validation/")] + ["train/loss"]
    over = f", mean +- standard deviation over {n_folds} folds" if n_folds > 1 else ""
    title = f"The best {min(top, len(ranking))} of {n_trials} trials{over}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("rank", "optimizer", "regularizer", *(name.replace("/", " ") for name in metrics)):
        is_text = heading in ("optimizer", "regularizer")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading == "optimizer")
    for rank, result in enumerate(ranking[:top], start=1):
        table.add_row(
            str(rank), result.trial.optimizer_label, result.trial.regularizer_label, *_scores(result, metrics)
        )
    console.print(table)
    if n_trials > len(ranking):
        console.print(f"{n_trials - len(ranking)} trials diverged; leaderboard.csv says in which epoch and why")


def _scores(result: TrialResult, metrics: list[str]) -> list[str]:
    mean, std = result.mean, result.std
    if len(result.networks) == 1:
        return [f"{mean[name]:.4f}" for name in metrics]
    return [f"{mean[name]:.4f} +- {std[name]:.4f}" for name in metrics]


def _row(rank: int | None, result: TrialResult) -> dict[str, object]:
    scores: dict[str, float] = {}
    if result.finished:
        std = result.std
        for name, value in result.mean.items():
            scores[name] = value
            if len(result.networks) > 1:
                scores[f"{name} std"] = std[name]
    return {
        "rank": rank or "",
        "trial": result.trial.key,
        **result.trial.parameters,
        **scores,
        "status": result.status,
    }
