"""What the sweep has found out: one result per network, and the digest over all of them."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from nncore.training import Report
from pipeline.sweep.space import Trial


@dataclass
class Result:
    """The epochs of one network so far.

    curves       by metric, one value per epoch
    diverged     (epoch, cause), or None
    stopped      (epoch, cause) if it was stopped early, or None
    epoch        the epoch whose weights it answers with
    fingerprint  SHA-256 of these weights; "" before training has ended, or if it diverged
    finished     its training has ended, at the last epoch or early, and it has an answer
    """

    trial: Trial
    seed: int
    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    epoch: int = 0
    fingerprint: str = ""
    finished: bool = False

    def add(self, report: Report, last: bool) -> None:
        """Add the report of one slice; `last` says that training ended with it."""
        for name, values in report.curves.items():
            self.curves.setdefault(name, []).extend(values)
        self.diverged, self.stopped, self.epoch = report.diverged, report.stopped, report.epoch
        self.finished = report.diverged is None and (last or report.stopped is not None)
        self.fingerprint = report.fingerprint if self.finished else ""

    @property
    def final(self) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answers with."""
        return {name: values[self.epoch - 1] for name, values in self.curves.items()}


class Results:
    """All networks of a sweep, by key, and how far they are.

    n_slices         slices that were added
    n_over           networks whose training has ended
    epochs_trained   network-epochs that were computed
    epochs_left      network-epochs still to come
    metric           what the ranking goes by, such as "validation/loss"
    best             of the finished networks, the first in the ranking
    """

    def __init__(self, trials: list[Trial], seed: int, epochs: int, metric: str) -> None:
        self.by_key = {trial.key: Result(trial, seed) for trial in trials}
        self.n_slices = self.n_over = 0
        self.epochs_trained = 0
        self.epochs_left = epochs * len(trials)
        self.best: Result | None = None
        self._epochs = epochs
        self.metric = f"validation/{metric}"

    def add(self, reports: dict[str, Report], start: int, until: int) -> int:
        """Add the reports of one slice; returns how many of its networks go on."""
        self.n_slices += 1
        for key, report in reports.items():
            result = self.by_key[key]
            result.add(report, last=until == self._epochs)
            left_at = report.diverged or report.stopped
            self.epochs_trained += (left_at[0] if left_at else until) - start
            self.epochs_left -= (self._epochs if left_at else until) - start
            self.n_over += result.finished or report.diverged is not None
            if result.finished and (self.best is None or self._place(result) < self._place(self.best)):
                self.best = result
        return sum(report.diverged is None and report.stopped is None for report in reports.values())

    def ranking(self) -> list[Result]:
        """The finished networks, best first; of equals, the first trial first."""
        return sorted((result for result in self.by_key.values() if result.finished), key=self._place)

    def _place(self, result: Result) -> tuple[float, int]:
        """What the ranking goes by, smaller is better: the metric, its sign turned unless a loss, then the trial."""
        value = result.final[self.metric]
        return (value if self.metric == "validation/loss" else -value), result.trial.number

    def digest(self) -> str:
        """SHA-256 over every network's identity, parameters, metrics and weights, in trial order.

        Equal digests mean equal sweeps, to the last bit.
        """
        state = sha256()
        for key, result in self.by_key.items():
            content: list[Any] = [key, result.seed, result.trial.parameters, result.curves]
            content += [result.diverged, result.stopped, result.epoch, result.fingerprint]
            state.update(json.dumps(content, sort_keys=True).encode())
        return state.hexdigest()
