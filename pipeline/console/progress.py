"""How far a sweep is, in one line; and how often to say so."""

import time
from collections.abc import Callable
from typing import NamedTuple

from pipeline.engine.records import SweepRecords

LARGEST_SHARE = 0.05  # of the driver's time that goes into what it shows


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
    """Says when it is time to show something again: not too often, whatever it costs."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._due = 0.0

    def due(self) -> bool:
        """Whether it is time. If it is, the next time is not soon."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True

    def cost(self, seconds: float) -> None:
        """To show it took so long."""
        self._due = max(self._due, time.monotonic() + seconds / LARGEST_SHARE)


def describe(now: SweepProgress) -> str:
    """In one line: trials done, rate, time left, best so far."""
    results = now.results
    left = "nothing to train" if now.seconds_left is None else f"{duration(now.seconds_left)} left"
    parts = [f"{results.n_finished} of {len(results.trials)} trials", f"{now.rate:.0f} network-epochs/s", left]
    if results.best:
        value, metric = results.best.mean[results.metric], results.metric.replace("/", " ")
        parts.append(f"best {metric} {value:.4f} ({results.best.label})")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """In seconds, minutes or hours, whichever says it best."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class PlainProgress:
    """A line now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._pace = say, Pace(2.0)

    def show(self, now: SweepProgress) -> None:
        """Print a line if it is time."""
        if now.epochs_left and self._pace.due():
            self._say(f"sweep: {describe(now)}")

    def close(self, now: SweepProgress) -> None:
        """Print the last state."""
        self._say(f"sweep: {describe(now)}")
