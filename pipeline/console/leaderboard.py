"""The leaderboard, in the terminal and as a file."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.engine.ranking import Ranking, tie_sentence
from pipeline.runs.records import TrialRecord


def write_leaderboard(path: Path, ranking: Ranking | None, everything: list[TrialRecord]) -> None:
    """Write one row per trial, best first, trials without a result last; with means, deviations and intervals."""
    ranked = {trial.key for trial in ranking.trials} if ranking else set()
    rows = [_ranked_row(rank, ranking) for rank in range(len(ranking.trials))] if ranking else []
    rows += [_row(trial) for trial in everything if trial.key not in ranked]
    parameters = dict.fromkeys(name for trial in everything for name in trial.parameters)
    names = dict.fromkeys(["rank", "trial", *parameters, *(name for row in rows for name in row)])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)


def print_leaderboard(
    console: Console, ranking: Ranking, n_trials: int, baselines: Mapping[str, Any], top: int = 10
) -> None:
    """Print the best trials and the baselines as a table, and notes: ties, Pareto front, trials without a result."""
    trials, n_networks = ranking.trials, len(ranking.trials[0].networks)
    metrics = [name for name in trials[0].mean if name.startswith("validation/")] + ["train/loss"]
    over = f", mean +- standard deviation over {n_networks} networks" if n_networks > 1 else ""
    title = f"The best {min(top, len(trials))} of {n_trials} trials{over}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    others = ["settings"] if any(trial.labels[2] for trial in trials[:top]) else []
    for heading in ("rank", "optimizer", "regularizer", *others, *(name.replace("/", " ") for name in metrics)):
        is_text = heading in ("optimizer", "regularizer", "settings")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading == "optimizer")
    for rank, trial in enumerate(trials[:top]):
        labels = trial.labels if others else trial.labels[:2]
        table.add_row(f"{rank + 1}{_marks(ranking, rank)}", *labels, *_scores(trial, metrics))
    for number, baseline in enumerate(baselines.values()):
        if not number:
            table.add_section()
        scores = [baseline["validation"].get(name.removeprefix("validation/")) for name in metrics]
        shown = ["" if score is None else f"{score:.4f}" for score in scores]
        table.add_row("", baseline["label"], *[""] * (1 + len(others)), *shown)
    console.print(table)
    for line in _notes(ranking, n_trials):
        console.print(line, soft_wrap=True)


def _marks(ranking: Ranking, rank: int) -> str:
    return ("=" if ranking.tied and ranking.tied[rank] else "") + ("*" if ranking.front and ranking.front[rank] else "")


def _notes(ranking: Ranking, n_trials: int) -> list[str]:
    notes = []
    if sentence := tie_sentence(ranking):
        notes.append(f"= {sentence}")
    if ranking.front:
        notes.append(f"* {sum(ranking.front)} trials are on the Pareto front: no other trial dominates them")
    if n_trials > len(ranking.trials):
        notes.append(f"{n_trials - len(ranking.trials)} trials have no result (see their status in leaderboard.csv)")
    return notes


def _scores(result: TrialRecord, metrics: list[str]) -> list[str]:
    mean, std = result.mean, result.std
    if len(result.networks) == 1:
        return [f"{mean[name]:.4f}" for name in metrics]
    return [f"{mean[name]:.4f} +- {std[name]:.4f}" for name in metrics]


def _ranked_row(at: int, ranking: Ranking) -> dict[str, object]:
    result, scores = ranking.trials[at], {}
    std = result.std
    for name, (value, low, high) in ranking.estimates[at].items():
        scores[name] = value
        if len(result.networks) > 1 and name in std:
            scores[f"{name} std"] = std[name]
        if low is not None and high is not None:
            scores |= {f"{name} 95% low": low, f"{name} 95% high": high}
    row = _row(result) | {"rank": at + 1}
    marks = {name: marked[at] for name, marked in (("tied", ranking.tied), ("pareto", ranking.front)) if marked}
    return row | scores | marks


def _row(result: TrialRecord) -> dict[str, object]:
    return {"rank": "", "trial": result.key, **result.parameters, "status": result.status}
