"""What the sweep has found out: one result per network, what a trial's networks come to, and a digest over all."""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from statistics import fmean, stdev
from typing import Any, NamedTuple

from nncore.training import Report
from pipeline.sweep.trial import Trial


class Repeat(NamedTuple):
    """Which of a trial's networks: of which fold (from 0), and with which seed."""

    fold: int
    seed: int

    def key(self, trial: str) -> str:
        """The network's name: "0007/1/0" is trial 0007 on the first fold with seed 0."""
        return f"{trial}/{self.fold + 1}/{self.seed}"


class Place(NamedTuple):
    """Where a network's state is kept: a file of the run, the SHA-256 of its content, and the network's key in it."""

    file: str
    sha256: str
    key: str


def repeats_of(n_folds: int, first_seed: int, n_seeds: int) -> list[Repeat]:
    """Those of every trial: fold by fold, the seeds inside."""
    return [Repeat(fold, seed) for fold in range(n_folds) for seed in range(first_seed, first_seed + n_seeds)]


@dataclass
class Result:
    """The epochs of one network so far.

    address      of everything that its result depends on
    curves       by metric, one value per epoch
    diverged     (epoch, cause), or None
    stopped      (epoch, cause) if it was stopped early, or None
    left         (epoch, cause) if the search or the budget let it go before its last epoch, or None
    epoch        the epoch whose weights it answers with
    answered     the same after each slice, by the epoch to which the slice went
    fingerprint  SHA-256 of these weights; "" if it diverged
    trained      epochs that were computed, with the one in which it diverged
    finished     it came to the last epoch, or was stopped early, and has an answer
    place        where its state is
    """

    key: str
    repeat: Repeat
    address: str
    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    left: tuple[int, str] | None = None
    epoch: int = 0
    answered: dict[int, int] = field(default_factory=dict)
    fingerprint: str = ""
    trained: int = 0
    finished: bool = False
    place: Place | None = None

    def add(self, report: Report, start: int, until: int, place: Place | None, last: bool) -> None:
        """Add the report of one slice; `last` says that no further one is to come."""
        for name, values in report.curves.items():
            self.curves[name] = [*self.curves.get(name, [])[:start], *values]
        self.answered = {to: epoch for to, epoch in self.answered.items() if to <= start} | {until: report.epoch}
        self.diverged, self.stopped, self.epoch = report.diverged, report.stopped, report.epoch
        self.fingerprint = report.fingerprint
        left_at = report.diverged or report.stopped
        self.trained = left_at[0] if left_at else until
        self.finished = self.diverged is None and (last or self.stopped is not None)
        self.place = None if report.diverged else place

    def copied(self, key: str, repeat: Repeat, address: str) -> "Result":
        """The same history, as that of another network, which may be trained further."""
        finished, curves = self.stopped is not None, dict(self.curves)
        return replace(self, key=key, repeat=repeat, address=address, curves=curves, left=None, finished=finished)

    @property
    def ended(self) -> bool:
        """It cannot be trained any longer."""
        return self.diverged is not None or self.stopped is not None

    @property
    def over(self) -> bool:
        """Its training has ended, well or not."""
        return self.ended or self.finished or self.left is not None

    @property
    def cut_short(self) -> bool:
        """It was stopped early, or the search or the budget let it go."""
        return self.stopped is not None or self.left is not None

    def knows(self, epoch: int) -> bool:
        """Whether it was trained to this epoch, and what it answered with then is known."""
        return epoch in self.answered or (self.ended and self.trained <= epoch)

    def has(self, epoch: int) -> bool:
        """See `knows`; and its state or its answer is there, unless it diverged."""
        return self.diverged is not None or (self.place is not None and self.knows(epoch))

    def at(self, until: int) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answered with when it was trained to `until`."""
        epoch = self.answered.get(until, self.epoch)
        return {name: values[epoch - 1] for name, values in self.curves.items()}

    def diverged_by(self, epoch: int) -> bool:
        """Whether it had diverged by then."""
        return self.diverged is not None and self.diverged[0] <= epoch

    @property
    def final(self) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answers with."""
        return self.at(self.trained)


@dataclass
class TrialResult:
    """The networks of one trial, fold by fold and seed by seed, and what they come to together."""

    trial: Trial
    networks: tuple[Result, ...]

    @property
    def key(self) -> str:
        """The trial's."""
        return self.trial.key

    @property
    def over(self) -> bool:
        """All its networks have ended."""
        return all(network.over for network in self.networks)

    @property
    def answers(self) -> bool:
        """All its networks have an answer, from their last epoch or from an earlier one."""
        return self.over and not self.diverged and all(network.trained for network in self.networks)

    @property
    def finished(self) -> bool:
        """All its networks came to their last epoch, or were stopped early."""
        return not self.diverged and all(network.finished for network in self.networks)

    @property
    def diverged(self) -> bool:
        """Any of its networks has diverged."""
        return any(network.diverged for network in self.networks)

    @property
    def cut_short(self) -> bool:
        """Any of its networks was stopped early or let go, and none diverged."""
        return not self.diverged and any(network.cut_short for network in self.networks)

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's mean over the networks, of the weights that they answer with."""
        return self.over_networks(fmean)

    @property
    def std(self) -> dict[str, float]:
        """The sample standard deviation over the networks (n - 1 in the denominator); zero if there is one."""
        return self.over_networks(lambda values: stdev(values) if len(values) > 1 else 0.0)

    def over_networks(self, statistic: Callable[[list[float]], float]) -> dict[str, float]:
        """A statistic of every metric's values."""
        finals = [network.final for network in self.networks]
        return {name: statistic([final[name] for final in finals]) for name in finals[0]}

    @property
    def status(self) -> str:
        """For people: finished, or in which epoch it diverged or was stopped and why, in the first such network."""
        for said, which in (("diverged in", "diverged"), ("stopped after", "stopped"), ("stopped after", "left")):
            for network in self.networks:
                ended: tuple[int, str] | None = getattr(network, which)
                if ended:
                    one = f"fold {network.repeat.fold + 1}, seed {network.repeat.seed} "
                    return f"{one if len(self.networks) > 1 else ''}{said} epoch {ended[0]}: {ended[1]}"
        return "finished" if self.finished else "not finished"


class Results:
    """All trials of a sweep and their networks, by key, and how far they are.

    known            what was found out about networks, by address; an earlier session of the run may have filled it
    n_slices         slices that were added
    n_resumed        networks that began with epochs of an earlier session
    epochs_trained   network-epochs that were computed
    epochs_left      network-epochs still to come in this rung
    metric           what the ranking goes by, such as "validation/loss"
    best             of the trials that are over, the first in the ranking
    """

    def __init__(self, repeats: Collection[Repeat], metric: str, known: dict[str, Result] | None = None) -> None:
        self.repeats = tuple(repeats)
        self.metric = f"validation/{metric}"
        self.known = dict(known or {})
        self._earlier = frozenset(address for address, result in self.known.items() if result.trained)
        self.trials: dict[str, TrialResult] = {}
        self.networks: dict[str, Result] = {}
        self.n_slices = self.n_resumed = 0
        self.epochs_trained = self.epochs_left = 0
        self.best: TrialResult | None = None
        self._over: set[str] = set()

    @property
    def n_over(self) -> int:
        """Trials whose networks have all ended."""
        return len(self._over)

    def open(self, trial: Trial, addresses: dict[Repeat, str], origins: dict[str, Result]) -> None:
        """A trial is to be trained, for the first time or further. What is known of its networks stands.

        addresses   of its networks
        origins     by address of a network, the result whose history it takes over
        """
        networks = [
            self._opened(repeat.key(trial.key), repeat, address, origins.get(address))
            for repeat, address in addresses.items()
        ]
        self.trials[trial.key] = TrialResult(trial, tuple(networks))
        self.networks |= {network.key: network for network in networks}

    def _opened(self, key: str, repeat: Repeat, address: str, origin: Result | None) -> Result:
        found = self.known.get(address, origin)
        if found is None:
            found = self.known[address] = Result(key, repeat, address)
        elif found is not self.networks.get(key):
            self.n_resumed += address in self._earlier
            found = self.known[address] = found.copied(key, repeat, address)
        return found

    def add(
        self, reports: dict[str, Report], start: int, until: int, places: dict[str, Place], last: bool
    ) -> list[str]:
        """Add the reports of one slice; returns the keys of its networks that go on.

        places   where the state of each is now, and of others that are kept with them
        last     as in Result.add
        """
        self.n_slices += 1
        for key, report in reports.items():
            network = self.networks[key]
            network.add(report, start, until, places.get(key), last)
            self.known[network.address] = network
            self.epochs_trained += network.trained - start
        for key, place in places.items():
            if not self.networks[key].diverged:
                self.networks[key].place = place
        return [key for key, report in reports.items() if report.diverged is None and report.stopped is None]

    def finish(self, key: str) -> None:
        """A trial's networks came to their last epoch, as far as they did not end before."""
        for network in self.trials[key].networks:
            network.finished = network.diverged is None

    def let_go(self, key: str, cause: str) -> None:
        """A trial is trained no longer."""
        for network in self.trials[key].networks:
            if not network.over:
                network.left = (network.trained, cause)

    def notice(self, keys: Iterable[str]) -> list[str]:
        """Of these trials, those that are over now and were not before; one of them may be the best."""
        over = [key for key in keys if key not in self._over and self.trials[key].over]
        self._over |= set(over)
        new = [trial for trial in map(self.trials.__getitem__, over) if trial.answers]
        self.best = min([*new, *([self.best] if self.best else [])], key=self._place, default=None)
        return over

    def ranking(self) -> list[TrialResult]:
        """The trials that have an answer, best first; of equals, the first trial first."""
        return sorted((trial for trial in self.trials.values() if trial.answers), key=self._place)

    def _place(self, result: TrialResult) -> tuple[float, int]:
        return smaller_is_better(self.metric, result.mean[self.metric]), result.trial.number

    def digest(self) -> str:
        """SHA-256 over every network's identity, parameters, metrics and weights, trial by trial.

        Equal digests mean equal sweeps, to the last bit.
        """
        state = sha256()
        for trial in self.trials.values():
            for result in trial.networks:
                content: list[Any] = [result.key, result.repeat.seed, trial.trial.parameters, result.curves]
                content += [result.diverged, result.stopped, result.left, result.epoch, result.fingerprint]
                state.update(json.dumps(content, sort_keys=True).encode())
        return state.hexdigest()


def smaller_is_better(metric: str, value: float) -> float:
    """The value of a metric, its sign turned unless it is a loss."""
    return value if metric.endswith("loss") else -value
