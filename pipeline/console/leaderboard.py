"""The leaderboard, in the terminal and as a file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.components.scores import LOSS, interval_in_words, label, number, present
from pipeline.engine.ranking import Ranking, effect_sentences, tie_sentence
from pipeline.runs.records import TrialRecord

WIDEST = 10_000  # columns of a table, before it is known whether it fits
NARROWEST = 36  # columns of what describes a trial
TABLE_DECIMALS = 4  # of scores up to 1: the best trials are close to each other


def write_leaderboard(
    path: Path, ranking: Ranking | None, everything: list[TrialRecord], headline: Sequence[str] = ()
) -> None:
    """Write one row per trial, best first, trials without a result last; with means, deviations and intervals.

    The scores of the headline come first.
    """
    ranked = {trial.key for trial in ranking.trials} if ranking else set()
    rows = [_ranked_row(rank, ranking, headline) for rank in range(len(ranking.trials))] if ranking else []
    rows += [_row(trial) for trial in everything if trial.key not in ranked]
    parameters = dict.fromkeys(name for trial in everything for name in trial.parameters)
    names = dict.fromkeys(["rank", "trial", *parameters, *(name for row in rows for name in row)])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)


def shown_scores(ranking: Ranking, headline: Sequence[str]) -> list[str]:
    """The names of the scores that a table of the best trials shows: those of the headline, and that of the ranking."""
    known = [name.removeprefix("validation/") for name in ranking.estimates[0] if name.startswith("validation/")]
    by, shown = ranking.metric.removeprefix("validation/"), present(headline, known)
    return shown if by in shown or (by == LOSS and "log_loss" in shown) else [*shown, by]


def print_leaderboard(
    console: Console,
    ranking: Ranking,
    n_trials: int,
    baselines: Mapping[str, Any],
    headline: Sequence[str] = (),
    top: int = 10,
) -> None:
    """Print the best trials and the baselines as a table, and notes: ties, Pareto front, trials without a result.

    Where the terminal is too narrow the intervals are left out, then what describes a trial becomes one column.
    """
    names, n_shown = shown_scores(ranking, headline), min(top, len(ranking.trials))
    n_networks = len(ranking.trials[0].networks)
    unlimited = console.options.update(max_width=WIDEST)
    for is_merged, has_interval in ((False, True), (False, False), (True, True), (True, False)):
        table = _table(ranking, n_shown, names, baselines, is_merged, has_interval)
        if console.measure(table, options=unlimited).minimum <= console.width:
            break
    over = f", means over {n_networks} networks" if n_networks > 1 else ""
    interval = " with 95 % intervals" if has_interval and _interval(ranking, 0, names[0]) else ""
    console.print(f"The best {n_shown} of {n_trials} trials on the validation rows{over}{interval}", soft_wrap=True)
    console.print(table)
    for line in _notes(ranking, n_trials):
        console.print(line, soft_wrap=True)


def _table(
    ranking: Ranking,
    n_shown: int,
    names: Sequence[str],
    baselines: Mapping[str, Any],
    is_merged: bool,
    has_interval: bool,
) -> Table:
    """The best trials and the baselines; a trial is described in one column, which may take several lines, or in three.

    No score is ever cut off.
    """
    trials = ranking.trials[:n_shown]
    texts = ["optimizer", "regularizer"] + ["settings"] * any(trial.labels[2] for trial in trials)
    texts = ["trial"] if is_merged else texts
    rows = []
    for rank, trial in enumerate(trials):
        labels = [trial.label] if is_merged else trial.labels[: len(texts)]
        shown = [_score(ranking, rank, name) for name in names]
        shown[0] += _interval(ranking, rank, names[0]) if has_interval else ""
        rows.append([f"{rank + 1}{_marks(ranking, rank)}", *labels, *shown])
    for baseline in baselines.values():
        scores = {name: baseline["validation"].get(name) for name in names}
        shown = ["" if score is None else number(name, score, TABLE_DECIMALS) for name, score in scores.items()]
        rows.append(["", baseline["label"], *[""] * (len(texts) - 1), *shown])
    table = Table(box=SIMPLE)
    for heading, column in zip(["rank", *texts, *map(label, names)], zip(*rows, strict=True), strict=True):
        width = NARROWEST if heading == "trial" else max(map(len, [heading, *column]))
        table.add_column(heading, justify="left" if heading in texts else "right", min_width=width)
    for number_of_row, row in enumerate(rows):
        table.add_row(*row, end_section=number_of_row == n_shown - 1 and n_shown < len(rows))
    return table


def _score(ranking: Ranking, rank: int, name: str) -> str:
    known = ranking.estimates[rank]
    estimate = known.get(f"validation/{name}")
    if estimate is None and (name, ranking.metric) == ("log_loss", f"validation/{LOSS}"):
        estimate = known.get(ranking.metric)  # which is one, where no answers were collected
    return "" if estimate is None else number(name, estimate.value, TABLE_DECIMALS)


def _interval(ranking: Ranking, rank: int, name: str) -> str:
    """The interval of a score, with the decimals of that of the best trial."""
    best, estimate = (ranking.estimates[number].get(f"validation/{name}") for number in (0, rank))
    if not estimate or not estimate.interval:
        return ""
    return f" ({interval_in_words(*estimate.interval, like=best and best.interval)})"


def _marks(ranking: Ranking, rank: int) -> str:
    return ("=" if ranking.tied and ranking.tied[rank] else "") + ("*" if ranking.front and ranking.front[rank] else "")


def _notes(ranking: Ranking, n_trials: int) -> list[str]:
    notes = []
    if sentence := tie_sentence(ranking):
        notes.append(f"= {sentence}")
    if n := ranking.n_partial:
        n_whole, n_networks = len(ranking.trials) - n, len(ranking.trials[0].networks)
        which = f"rank {n_whole + 1} was" if n == 1 else f"ranks {n_whole + 1} to {len(ranking.trials)} were"
        notes.append(f"{which} trained on fewer folds (less than {n_networks} networks): scored on fewer rows, so last")
    notes += effect_sentences(ranking)
    if ranking.front:
        notes.append(f"* {sum(ranking.front)} trials are on the Pareto front: no other trial dominates them")
    if n_trials > len(ranking.trials):
        notes.append(f"{n_trials - len(ranking.trials)} trials have no result (see their status in leaderboard.csv)")
    return notes


def _ranked_row(at: int, ranking: Ranking, headline: Sequence[str]) -> dict[str, object]:
    result, scores = ranking.trials[at], {}
    std = result.std
    first = {f"validation/{name}": position for position, name in enumerate(headline)}
    estimates = ranking.estimates[at]
    for name in sorted(estimates, key=lambda name: (first.get(name, len(first)), name.startswith("train/"))):
        value, low, high = estimates[name]
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
