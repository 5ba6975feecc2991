"""The leaderboard, in the terminal and as a file."""

import csv
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.sweep.results import Result


def write_leaderboard(path: Path, ranking: list[Result], everything: list[Result]) -> None:
    """One line per trial, best first, those that diverged last."""
    ranked = {id(result) for result in ranking}
    rows = [_row(rank, result) for rank, result in enumerate(ranking, start=1)]
    rows += [_row(None, result) for result in everything if id(result) not in ranked]
    parameters = dict.fromkeys(name for result in everything for name in result.trial.parameters)
    names = dict.fromkeys(["rank", "trial", *parameters, *(name for row in rows for name in row)])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)


def print_leaderboard(console: Console, ranking: list[Result], n_trials: int, top: int = 10) -> None:
    """The best trials as a table."""
    metrics = [name for name in ranking[0].final if name.startswith("validation/")] + ["train/loss"]
    table = Table(title=f"The best {min(top, len(ranking))} of {n_trials} trials", title_justify="left", box=SIMPLE)
    for heading in ("rank", "optimizer", "regularizer", *(name.replace("/", " ") for name in metrics)):
        is_text = heading in ("optimizer", "regularizer")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading == "optimizer")
    for rank, result in enumerate(ranking[:top], start=1):
        scores = [f"{result.final[name]:.4f}" for name in metrics]
        table.add_row(str(rank), result.trial.optimizer_label, result.trial.regularizer_label, *scores)
    console.print(table)
    if n_trials > len(ranking):
        console.print(f"{n_trials - len(ranking)} trials diverged; leaderboard.csv says in which epoch and why")


def _row(rank: int | None, result: Result) -> dict[str, object]:
    if result.diverged:
        status = "diverged in epoch {}: {}".format(*result.diverged)
    else:
        status = "stopped after epoch {}: {}".format(*result.stopped) if result.stopped else "finished"
    return {
        "rank": rank or "",
        "trial": result.trial.key,
        **result.trial.parameters,
        **(result.final if result.finished else {}),
        "status": status,
    }
