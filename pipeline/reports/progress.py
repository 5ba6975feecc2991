"""Live progress: a bar in a terminal, plain lines elsewhere."""

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from pipeline.sweep.results import Results

SECONDS_BETWEEN_LINES = 2.0


def describe(results: Results, seconds: float) -> str:
    """In one line: trials done, rate, time left, best so far."""
    rate = results.epochs_trained / seconds
    left = f"{results.epochs_left / rate:.0f} s left" if rate else "nothing to train"
    parts = [f"{results.n_over} of {len(results.trials)} trials", f"{rate:.0f} network-epochs/s", left]
    if results.best:
        value, metric = results.best.mean[results.metric], results.metric.replace("/", " ")
        parts.append(f"best {metric} {value:.4f} ({results.best.trial.label})")
    return ", ".join(parts)


class SweepProgress(Protocol):
    """Shows a sweep as it goes."""

    def show(self, results: Results, began: float) -> None:
        """Show how far it is; it began at this time of the monotonic clock."""

    def close(self) -> None:
        """Leave the last state standing."""


class LiveProgress:
    """A bar that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        text = TextColumn("{task.description}", table_column=Column(no_wrap=False))  # a narrow terminal gets lines
        columns = (TextColumn("sweep", table_column=Column(min_width=5)), BarColumn(bar_width=16), text)
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("starting")
        self._progress.start()

    def show(self, results: Results, began: float) -> None:
        """See SweepProgress.show."""
        text = describe(results, time.monotonic() - began)
        total = results.epochs_trained + results.epochs_left
        self._progress.update(self._task, completed=results.epochs_trained, total=total, description=text)

    def close(self) -> None:
        """See SweepProgress.close."""
        self._progress.stop()


class PlainProgress:
    """A line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic() - SECONDS_BETWEEN_LINES

    def show(self, results: Results, began: float) -> None:
        """See SweepProgress.show."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or not results.epochs_left:
            self._last = now
            self._console.print(f"sweep: {describe(results, now - began)}", soft_wrap=True)

    def close(self) -> None:
        """See SweepProgress.close."""


def sweep_progress(console: Console) -> SweepProgress:
    """What suits the console."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)
