"""What the sweep has found out: one result per network, what a trial's networks come to, and a digest over all."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from statistics import fmean, stdev
from typing import Any

from nncore.training import Report
from pipeline.sweep.space import Trial

MODEL_FOLD = 0  # of the champion's networks, the one on this fold becomes the model


@dataclass
class Result:
    """The epochs of one network so far.

    curves       by metric, one value per epoch
    diverged     (epoch, cause), or None
    stopped      (epoch, cause) if it was stopped early, or None
    epoch        the epoch whose weights it answers with
    fingerprint  SHA-256 of these weights; "" before training has ended, or if it diverged
    finished     its training has ended, at the last epoch or early, and it has an answer
    trained      epochs that were computed, with the one in which it diverged
    """

    key: str
    seed: int
    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    epoch: int = 0
    fingerprint: str = ""
    finished: bool = False
    trained: int = 0

    def add(self, report: Report, until: int, last: bool) -> None:
        """Add the report of one slice up to the epoch `until`; `last` says that training ended with it."""
        for name, values in report.curves.items():
            self.curves.setdefault(name, []).extend(values)
        self.diverged, self.stopped, self.epoch = report.diverged, report.stopped, report.epoch
        self.finished = report.diverged is None and (last or report.stopped is not None)
        self.fingerprint = report.fingerprint if self.finished else ""
        left_at = report.diverged or report.stopped
        self.trained = left_at[0] if left_at else until

    @property
    def over(self) -> bool:
        """Its training has ended, well or not."""
        return self.finished or self.diverged is not None

    @property
    def final(self) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answers with."""
        return {name: values[self.epoch - 1] for name, values in self.curves.items()}


@dataclass(frozen=True)
class TrialResult:
    """The networks of one trial, one per fold, and what they come to together."""

    trial: Trial
    networks: tuple[Result, ...]

    @property
    def over(self) -> bool:
        """All its networks have ended."""
        return all(network.over for network in self.networks)

    @property
    def finished(self) -> bool:
        """All its networks have an answer."""
        return all(network.finished for network in self.networks)

    @property
    def diverged(self) -> bool:
        """Any of its networks has diverged."""
        return any(network.diverged for network in self.networks)

    @property
    def stopped(self) -> bool:
        """Any of its networks was stopped early, and none diverged."""
        return not self.diverged and any(network.stopped for network in self.networks)

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's mean over the folds, of the weights that the networks answer with."""
        return self._over_folds(fmean)

    @property
    def std(self) -> dict[str, float]:
        """The sample standard deviation over the folds (n - 1 in the denominator); zero if there is one fold."""
        return self._over_folds(lambda values: stdev(values) if len(values) > 1 else 0.0)

    def _over_folds(self, statistic: Callable[[list[float]], float]) -> dict[str, float]:
        finals = [network.final for network in self.networks]
        return {name: statistic([final[name] for final in finals]) for name in finals[0]}

    @property
    def status(self) -> str:
        """For people: finished, or in which epoch it diverged or was stopped and why, in the first such fold."""
        for said in ("diverged in", "stopped after"):
            for fold, network in enumerate(self.networks, start=1):
                left = network.diverged if said == "diverged in" else network.stopped
                if left:
                    of_fold = f"fold {fold} " if len(self.networks) > 1 else ""
                    return f"{of_fold}{said} epoch {left[0]}: {left[1]}"
        return "finished"


class Results:
    """All networks of a sweep, by key, and how far they are.

    trials           one per trial, in their order
    by_key           one per network, by its key: trial by trial, the folds inside
    n_slices         slices that were added
    n_over           trials whose networks have all ended
    epochs_trained   network-epochs that were computed
    epochs_left      network-epochs still to come
    metric           what the ranking goes by, such as "validation/loss"
    best             of the finished trials, the first in the ranking
    """

    def __init__(self, trials: list[Trial], n_folds: int, seed: int, epochs: int, metric: str) -> None:
        self.trials = [
            TrialResult(trial, tuple(Result(trial.network_key(fold, n_folds), seed) for fold in range(n_folds)))
            for trial in trials
        ]
        self.by_key = {network.key: network for result in self.trials for network in result.networks}
        self.n_slices = self.n_over = 0
        self.epochs_trained = 0
        self.epochs_left = epochs * len(self.by_key)
        self.best: TrialResult | None = None
        self._trial_of = {network.key: result for result in self.trials for network in result.networks}
        self._epochs = epochs
        self.metric = f"validation/{metric}"

    def add(self, reports: dict[str, Report], start: int, until: int) -> int:
        """Add the reports of one slice; returns how many of its networks go on."""
        self.n_slices += 1
        for key, report in reports.items():
            network, trial = self.by_key[key], self._trial_of[key]
            network.add(report, until, last=until == self._epochs)
            self.epochs_trained += network.trained - start
            self.epochs_left -= (self._epochs if network.over else until) - start
            self.n_over += network.over and trial.over
            if network.finished and trial.finished and (not self.best or self._place(trial) < self._place(self.best)):
                self.best = trial
        return sum(report.diverged is None and report.stopped is None for report in reports.values())

    def ranking(self) -> list[TrialResult]:
        """The finished trials, best first; of equals, the first trial first."""
        return sorted((result for result in self.trials if result.finished), key=self._place)

    def _place(self, result: TrialResult) -> tuple[float, int]:
        """What the ranking goes by, smaller is better: the metric, its sign turned unless a loss, then the trial."""
        value = result.mean[self.metric]
        return (value if self.metric == "validation/loss" else -value), result.trial.number

    def digest(self) -> str:
        """SHA-256 over every network's identity, parameters, metrics and weights, trial by trial, the folds inside.

        Equal digests mean equal sweeps, to the last bit.
        """
        state = sha256()
        for key, result in self.by_key.items():
            content: list[Any] = [key, result.seed, self._trial_of[key].trial.parameters, result.curves]
            content += [result.diverged, result.stopped, result.epoch, result.fingerprint]
            state.update(json.dumps(content, sort_keys=True).encode())
        return state.hexdigest()
