"""What the sweep has found out: what each trial's networks come to, and a digest over all."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from statistics import fmean, stdev
from typing import Any

import numpy as np

from nncore.stack.training import Report
from pipeline.runs.network_record import CheckpointRef, NetworkRecord, Replicate, given_up
from pipeline.search.trial import Trial


@dataclass
class TrialRecord:
    """The networks of one trial, fold by fold and seed by seed, and what they come to together."""

    trial: Trial
    networks: tuple[NetworkRecord, ...]

    @property
    def key(self) -> str:
        """The trial's."""
        return self.trial.key

    @property
    def finished(self) -> bool:
        """All its networks have ended."""
        return all(network.finished for network in self.networks)

    @property
    def rankable(self) -> bool:
        """All its networks have an answer, from their last epoch or from an earlier one."""
        return self.finished and not self.diverged and all(network.epochs_trained for network in self.networks)

    @property
    def completed(self) -> bool:
        """All its networks came to their last epoch, or were stopped early."""
        return not self.diverged and all(network.completed for network in self.networks)

    @property
    def diverged(self) -> bool:
        """Any of its networks has diverged."""
        return any(network.diverged for network in self.networks)

    @property
    def failed(self) -> bool:
        """Any of its networks took its workers along."""
        return any(network.failed for network in self.networks)

    @property
    def stopped_early(self) -> bool:
        """Any of its networks was stopped early or pruned, and none diverged."""
        return not self.diverged and any(network.stopped_early for network in self.networks)

    @property
    def pruned(self) -> tuple[int, str] | None:
        """(epoch, cause) if the search or the budget pruned it, and none of its networks had ended before."""
        ended = any(network.diverged or network.stopped for network in self.networks)
        return None if ended else next((network.pruned for network in self.networks if network.pruned), None)

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's mean over the networks, of the weights that they answer with."""
        return self.aggregate(fmean)

    @property
    def std(self) -> dict[str, float]:
        """The sample standard deviation over the networks (n - 1 in the denominator); zero if there is one."""
        return self.aggregate(lambda values: stdev(values) if len(values) > 1 else 0.0)

    def aggregate(self, statistic: Callable[[list[float]], float]) -> dict[str, float]:
        """A statistic of every metric's values."""
        finals = [network.final_metrics for network in self.networks]
        return {name: statistic([final[name] for final in finals]) for name in finals[0]}

    @property
    def status(self) -> str:
        """For people: finished, or in which epoch it was given up or stopped and why, in the first such network."""
        for which in ("diverged", "stopped", "pruned"):
            for network in self.networks:
                ended: tuple[int, str] | None = getattr(network, which)
                if ended:
                    said = f"{given_up(ended[1])} in" if which == "diverged" else "stopped after"
                    one = f"fold {network.replicate.fold + 1}, seed {network.replicate.seed} "
                    return f"{one if len(self.networks) > 1 else ''}{said} epoch {ended[0]}: {ended[1]}"
        return "finished" if self.completed else "not finished"


@dataclass
class RungProgress:
    """A rung: its networks, the epoch (or epochs) they train to, its network-epochs, and those left to train."""

    until: str
    networks: int
    epochs: int
    epochs_left: int


class SweepRecords:
    """All trials of a sweep and their networks, by key, and how far they are.

    known            what is known about networks, by content hash; an earlier session of the run may have filled it
    n_slices         slices that were added
    n_resumed        networks that began with epochs of an earlier session
    epochs_trained   network-epochs that were computed
    epochs_by_trial  the same, by the trial's key
    rungs            what there was to train, rung by rung
    metric           what the ranking goes by, such as "validation/loss"
    best             of the trials that are over, the first in the ranking
    """

    def __init__(
        self, replicates: Collection[Replicate], metric: str, known: dict[str, NetworkRecord] | None = None
    ) -> None:
        self.replicates = tuple(replicates)
        self.metric = f"validation/{metric}"
        self.known = dict(known or {})
        self._earlier = frozenset(content_hash for content_hash, result in self.known.items() if result.epochs_trained)
        self.trials: dict[str, TrialRecord] = {}
        self.networks: dict[str, NetworkRecord] = {}
        self.n_slices = self.n_resumed = 0
        self.epochs_trained = 0
        self.epochs_by_trial: Counter[str] = Counter()
        self.rungs: list[RungProgress] = []
        self.best: TrialRecord | None = None
        self._over: set[str] = set()

    @property
    def n_finished(self) -> int:
        """Trials whose networks have all ended."""
        return len(self._over)

    def open(self, trial: Trial, content_hashes: dict[Replicate, str], origins: dict[str, NetworkRecord]) -> None:
        """A trial is to be trained, for the first time or further. What is known of its networks stands.

        content hashes   of its networks
        origins     by content hash of a network, the result whose history it takes over
        """
        networks = [
            self._opened(repeat.key(trial.key), repeat, content_hash, origins.get(content_hash))
            for repeat, content_hash in content_hashes.items()
        ]
        opened = self.trials[trial.key] = TrialRecord(trial, tuple(networks))
        self.networks |= {network.key: network for network in networks}
        if trial.key in self._over and not opened.finished:  # a copy of another takes the place of what had ended
            self._over.discard(trial.key)
            answers = (self.trials[key] for key in self._over if self.trials[key].rankable)
            self.best = min(answers, key=self._place, default=None)

    def _opened(self, key: str, repeat: Replicate, content_hash: str, origin: NetworkRecord | None) -> NetworkRecord:
        found = self.known.get(content_hash, origin)
        if found is None:
            found = self.known[content_hash] = NetworkRecord(key, repeat, content_hash)
        elif found is not self.networks.get(key):
            self.n_resumed += content_hash in self._earlier
            found = self.known[content_hash] = found.copied(key, repeat, content_hash)
        return found

    def add(
        self, reports: dict[str, Report], start: int, until: int, places: dict[str, CheckpointRef], last: bool
    ) -> list[str]:
        """Add the reports of one slice; returns the keys of its networks that go on.

        places   where the state of each is now, and of others that are kept with them
        last     as in Result.add
        """
        self.n_slices += 1
        for key, report in reports.items():
            network = self.networks[key]
            network.add(report, start, until, places.get(key), last)
            self.known[network.content_hash] = network
            self.epochs_trained += network.epochs_trained - start
            self.epochs_by_trial[key.partition("/")[0]] += network.epochs_trained - start
        for key, place in places.items():
            if not self.networks[key].diverged:
                self.networks[key].checkpoint = place
        return [key for key, report in reports.items() if report.diverged is None and report.stopped is None]

    def finish(self, key: str) -> None:
        """A trial's networks came to their last epoch, as far as they did not end before."""
        for network in self.trials[key].networks:
            network.completed = network.diverged is None

    def prune(self, key: str, cause: str, until: int | None = None) -> None:
        """A trial is trained no longer; what an earlier session trained beyond `until` is to be trained again."""
        trial = self.trials[key]
        if until is not None:
            again = [network.epochs_trained > until and not network.inherited for network in trial.networks]
            trial.networks = tuple(self._anew(o) if a else o for o, a in zip(trial.networks, again, strict=True))
        for network in trial.networks:
            if not network.finished:
                network.pruned = (max(network.epochs_trained, until or 0), cause)

    def _anew(self, network: NetworkRecord) -> NetworkRecord:
        fresh = NetworkRecord(network.key, network.replicate, network.content_hash)
        self.networks[network.key] = self.known[network.content_hash] = fresh
        return fresh

    def to_retrain(self) -> list[tuple[NetworkRecord, int]]:
        """The networks that were pruned after an epoch to which they must be trained again, and this epoch."""
        left = [(network, network.pruned[0]) for network in self.networks.values() if network.pruned]
        return [(network, until) for network, until in left if network.epochs_trained < until]

    def mark_finished(self, keys: Iterable[str]) -> list[str]:
        """Of these trials, those that are over now and were not before; one of them may be the best."""
        over = [key for key in keys if key not in self._over and self.trials[key].finished]
        self._over |= set(over)
        new = [trial for trial in map(self.trials.__getitem__, over) if trial.rankable]
        self.best = min([*new, *([self.best] if self.best else [])], key=self._place, default=None)
        return over

    def ranking(self) -> list[TrialRecord]:
        """The trials that have an answer, best first; of equals, the first trial first."""
        return sorted((trial for trial in self.trials.values() if trial.rankable), key=self._place)

    def _place(self, result: TrialRecord) -> tuple[float, int]:
        return smaller_is_better(self.metric, result.mean[self.metric]), result.trial.number


def digest(results: SweepRecords) -> str:
    """SHA-256 over every network's identity, parameters, metrics and weights, trial by trial.

    Equal digests mean equal sweeps, to the last bit.
    """
    state = sha256()
    for trial in results.trials.values():
        for result in trial.networks:
            curves = dict(sorted(result.curves.items()))
            lengths = {name: len(values) for name, values in curves.items()}
            content: list[Any] = [result.key, result.replicate.seed, trial.trial.parameters, lengths]
            content += [result.diverged, result.stopped, result.pruned, result.selected_epoch, result.fingerprint]
            state.update(json.dumps(content, sort_keys=True).encode())
            numbers = np.frombuffer(b"".join(curves.values()))
            alike = np.where(np.isnan(numbers), np.nan, numbers)  # there is more than one NaN
            state.update(alike.astype("<f8").tobytes())
    return state.hexdigest()


def smaller_is_better(metric: str, value: float) -> float:
    """The value of a metric, its sign turned unless it is a loss."""
    return value if metric.endswith("loss") else -value
