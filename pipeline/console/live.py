"""The sweep as a table that is redrawn in place; it fits into 80 columns and 24 lines."""

import time
from collections import defaultdict
from collections.abc import Iterable

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.components.scores import number
from pipeline.console.progress import Pace, SweepProgress, describe, duration, pace
from pipeline.runs.records import TrialRecord

TOP, RUNGS, OPTIMIZERS = 6, 3, 6  # so many lines at most


class LiveTable:
    """Redraws the table as slices finish; one line remains at the end."""

    def __init__(self, console: Console) -> None:
        self._console, self._pace = console, Pace(0.2)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def show(self, progress: SweepProgress) -> None:
        """Redraw the table unless this was done a moment ago."""
        if self._pace.due():
            began = time.monotonic()
            self._live.start()  # the first time; else it does nothing
            self._live.update(picture(progress, self._console.width), refresh=True)
            self._pace.cost(time.monotonic() - began)

    def close(self, progress: SweepProgress) -> None:
        """Remove the table and print the last state as a line."""
        self._live.stop()
        self._console.print(f"sweep: {describe(progress)}", soft_wrap=True)


def picture(progress: SweepProgress, width: int) -> RenderableType:
    """Progress per rung, speed, the best trials so far, and the best result of each optimizer."""
    trained = [
        trial for trial in progress.results.trials.values() if all(network.epochs_trained for network in trial.networks)
    ]
    return Group(
        _rungs(progress), _pace(progress), "", _best(progress, trained, width), "", _optimizers(progress, trained)
    )


def _rungs(progress: SweepProgress) -> Table:
    table = Table.grid(padding=(0, 2))
    rungs = progress.results.rungs
    for position, rung in list(enumerate(rungs, start=1))[-RUNGS:]:
        done = rung.epochs - rung.epochs_left
        present = rung is rungs[-1] and rung.epochs_left
        left = f"{duration(progress.seconds_left)} left" if present and progress.seconds_left is not None else ""
        bar = ProgressBar(total=max(rung.epochs, 1), completed=done if rung.epochs else 1, width=20)
        share = f"{done / rung.epochs:4.0%}" if rung.epochs else "100%"
        table.add_row(f"rung {position}", f"{rung.networks} networks to epoch {rung.until}", bar, share, left)
    return table


def _pace(progress: SweepProgress) -> Text:
    trials = progress.results.trials.values()
    diverged = sum(trial.diverged for trial in trials)
    parts = [f"{progress.results.n_finished} of {len(trials)} trials finished", f"{diverged} diverged"]
    parts += [f"{progress.busy} of {progress.workers} workers busy", f"{pace(progress.rate)} network-epochs/s"]
    return Text(", ".join(parts), no_wrap=True, overflow="ellipsis")


def _best(progress: SweepProgress, trained: Iterable[TrialRecord], width: int) -> Table:
    metric, ranking = progress.results.metric, progress.results.ranking_metric
    heading, cost = f"validation {ranking.label}", ranking.cost
    room = width - len(f"trial    {heading}  epoch  ")  # rich would cut all columns alike
    table = _table(("trial", "right"), ("best so far", "left"), (heading, "right"), ("epoch", "right"))
    scored = [(trial.mean[metric], trial) for trial in trained if not trial.diverged]
    scored.sort(key=lambda pair: (cost(pair[0]), pair[1].number))
    for value, trial in scored[:TOP]:
        label = Text(trial.label)
        label.truncate(room, overflow="ellipsis")
        epoch = min(network.epochs_trained for network in trial.networks)
        table.add_row(trial.key, label, number(ranking.name, value, 4), str(epoch))
    return table


def _optimizers(progress: SweepProgress, trained: Iterable[TrialRecord]) -> Table:
    results = progress.results
    metric, cost = results.metric, results.ranking_metric.cost
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in results.trials.values():
        groups[trial.parameters["optimizer"]].append(trial)
    best: dict[str, float] = {}
    for trial in trained:
        if not trial.diverged:
            value, name = trial.mean[metric], trial.parameters["optimizer"]
            best[name] = min(value, best.get(name, value), key=cost)
    headings = ("trials", "finished", "diverged", "network-epochs/s", "best")
    numbers: list[tuple[str, JustifyMethod]] = [(heading, "right") for heading in headings]
    table = _table(("optimizer", "left"), *numbers)
    order = sorted(groups, key=lambda name: (name not in best, cost(best.get(name, 0.0))))
    for name in order[:OPTIMIZERS]:
        rate = sum(results.epochs_by_trial.get(trial.key, 0) for trial in groups[name]) / max(progress.seconds, 1e-9)
        finished, diverged = (
            sum(trial.finished for trial in groups[name]),
            sum(trial.diverged for trial in groups[name]),
        )
        score = number(results.ranking_metric.name, best[name], 4) if name in best else ""
        table.add_row(name, str(len(groups[name])), str(finished), str(diverged), pace(rate), score)
    if len(order) > OPTIMIZERS:
        table.add_row(f"and {len(order) - OPTIMIZERS} more")
    return table


def _table(*columns: tuple[str, JustifyMethod]) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, justify in columns:
        table.add_column(heading, justify=justify, no_wrap=True)
    return table
