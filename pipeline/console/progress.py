"""The progress of a sweep in one line, and how often it is shown."""

import time
from collections.abc import Callable
from typing import NamedTuple

from pipeline.components.scores import number
from pipeline.engine.records import SweepRecords

LARGEST_SHARE = 0.05  # of the driver's time that may be spent on showing progress


class SweepProgress(NamedTuple):
    """How far a sweep is: what is known, how many seconds it has taken, and how many of its workers are at work."""

    results: SweepRecords
    seconds: float
    workers: int
    busy: int

    @property
    def rate(self) -> float:
        """Network-epochs per second."""
        return self.results.epochs_trained / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """About how long the present rung will still take; None if nothing was trained yet."""
        return self.epochs_left / self.rate if self.rate else None

    @property
    def epochs_left(self) -> int:
        """Network-epochs still to come in the present rung."""
        return self.results.rungs[-1].epochs_left if self.results.rungs else 0


class Pace:
    """Limits how often something is shown, by an interval and by what it costs."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._due = 0.0

    def due(self) -> bool:
        """Whether the interval has passed; if so, the next one begins."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True

    def cost(self, seconds: float) -> None:
        """Take note of how long showing it took."""
        self._due = max(self._due, time.monotonic() + seconds / LARGEST_SHARE)


def describe(progress: SweepProgress) -> str:
    """One line: finished trials, rate, time left, best trial so far."""
    results = progress.results
    nothing = "nothing to train" if results.epochs_trained or not progress.epochs_left else "nothing was trained"
    left = nothing if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"
    parts = [f"{results.n_finished} of {len(results.trials)} trials", f"{pace(progress.rate)} network-epochs/s", left]
    if results.best:
        metric, value = results.ranking_metric, results.best.mean[results.metric]
        parts.append(f"best validation {metric.label} {number(metric.name, value, 4)} ({results.best.label})")
    return ", ".join(parts)


def pace(rate: float) -> str:
    """Network-epochs per second, with two digits if they are few."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours, by its size."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class PlainProgress:
    """Prints a line at intervals."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._pace = say, Pace(2.0)

    def show(self, progress: SweepProgress) -> None:
        """Print a line unless one was printed a moment ago."""
        if progress.epochs_left and self._pace.due():
            self._say(f"sweep: {describe(progress)}")

    def close(self, progress: SweepProgress) -> None:
        """Print the last state."""
        self._say(f"sweep: {describe(progress)}")
