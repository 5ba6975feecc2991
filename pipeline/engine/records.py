"""The records of the sweep that is running: its trials and networks, and a digest over all."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Any

import numpy as np

from nncore.stack.training import Report
from pipeline.components.scores import RankingMetric
from pipeline.runs.records import CheckpointRef, NetworkRecord, Replicate, TrialRecord, trial_of
from pipeline.search.trial import Trial


@dataclass
class RungProgress:
    """A rung: what there is to train, and what of it is left.

    Parameters
    ----------
    until : str
        The epoch, or the epochs, to which its networks are trained.
    networks : int
    epochs : int
        Network-epochs.
    epochs_left : int
        Network-epochs that are not trained yet.
    """

    until: str
    networks: int
    epochs: int
    epochs_left: int


class SweepRecords:
    """All trials of a sweep and their networks.

    Parameters
    ----------
    replicates : collection of Replicate
        The networks of each trial.
    metric : RankingMetric
    n_validation : sequence of int
        Validation rows of each fold.
    known : dict of str to NetworkRecord, optional
        What earlier sessions of the run know of networks, by content hash.

    Attributes
    ----------
    suggested : dict of str to Trial
        By key, the trials as the search suggested them.
    trials : dict of str to TrialRecord
        By key, what is known of them.
    networks : dict of str to NetworkRecord
        By key.
    known : dict of str to NetworkRecord
        By content hash, with what this session adds.
    ranking_metric : RankingMetric
    metric : str
        The name of its curve, such as "validation/loss".
    n_slices : int
        Slices of this session.
    n_resumed : int
        Networks that began with epochs of an earlier session.
    epochs_trained : int
        Network-epochs of this session.
    epochs_by_trial : Counter
        The same, by trial.
    rungs : list of RungProgress
    best : TrialRecord or None
        The first in the ranking of the trials that are finished.
    """

    def __init__(
        self,
        replicates: Collection[Replicate],
        metric: RankingMetric,
        n_validation: Sequence[int],
        known: dict[str, NetworkRecord] | None = None,
    ) -> None:
        self.replicates, self._n_validation = tuple(replicates), tuple(n_validation)
        self.ranking_metric, self.metric = metric, metric.curve
        self.known = dict(known or {})
        self._earlier = frozenset(content_hash for content_hash, record in self.known.items() if record.epochs_trained)
        self.suggested: dict[str, Trial] = {}
        self.trials: dict[str, TrialRecord] = {}
        self.networks: dict[str, NetworkRecord] = {}
        self.n_slices = self.n_resumed = 0
        self.epochs_trained = 0
        self.epochs_by_trial: Counter[str] = Counter()
        self.rungs: list[RungProgress] = []
        self.best: TrialRecord | None = None
        self._finished: set[str] = set()

    def replicates_of(self, validation_rows: int | None) -> tuple[Replicate, ...]:
        """The replicates of as many of the first folds as have so many validation rows, or of all."""
        if validation_rows is None:
            return self.replicates
        before = [0, *accumulate(self._n_validation)]  # rows of the folds before each fold
        return tuple(replicate for replicate in self.replicates if before[replicate.fold] < validation_rows)

    def is_whole(self, key: str) -> bool:
        """Whether the networks of all folds of a trial were asked for."""
        return len(self.trials[key].networks) == len(self.replicates)

    @property
    def n_finished(self) -> int:
        """Trials that are finished."""
        return len(self._finished)

    def open(self, trial: Trial, content_hashes: dict[Replicate, str], origins: dict[str, NetworkRecord]) -> None:
        """Enter a trial that is to be trained, for the first time or further. What is known of its networks is kept.

        Parameters
        ----------
        trial : Trial
        content_hashes : dict of Replicate to str
            Of its networks.
        origins : dict of str to NetworkRecord
            By content hash of a network, the record whose history it takes over.
        """
        networks = [
            self._opened(replicate.key(trial.key), replicate, content_hash, origins.get(content_hash))
            for replicate, content_hash in content_hashes.items()
        ]
        self.suggested[trial.key] = trial
        opened = self.trials[trial.key] = TrialRecord(trial.key, trial.labels, trial.parameters, tuple(networks))
        self.networks |= {network.key: network for network in networks}
        if trial.key in self._finished and not opened.finished:  # a copy of another replaces what had ended
            self._finished.discard(trial.key)
            rankable = (self.trials[key] for key in self._finished if self.trials[key].rankable)
            self.best = min(rankable, key=self._rank_key, default=None)

    def enter(self, key: str, replicate: Replicate, content_hash: str) -> None:
        """Enter a network that is none of a trial's; what is known of it is kept."""
        self.networks[key] = self._opened(key, replicate, content_hash, None)

    def _opened(self, key: str, replicate: Replicate, content_hash: str, origin: NetworkRecord | None) -> NetworkRecord:
        record = self.known.get(content_hash, origin)
        if record is None:
            record = self.known[content_hash] = NetworkRecord(key, replicate, content_hash)
        elif record is not self.networks.get(key):
            self.n_resumed += content_hash in self._earlier
            record = self.known[content_hash] = record.copied(key, replicate, content_hash)
        return record

    def add(
        self, reports: dict[str, Report], start: int, until: int, checkpoints: dict[str, CheckpointRef], last: bool
    ) -> list[str]:
        """Add the reports of one slice.

        Parameters
        ----------
        reports : dict of str to Report
            By network.
        start, until, last
            See `NetworkRecord.add`.
        checkpoints : dict of str to CheckpointRef
            Where the state of each is stored now, and of other networks in the same file.

        Returns
        -------
        list of str
            The keys of its networks that have not ended.
        """
        self.n_slices += 1
        for key, report in reports.items():
            network = self.networks[key]
            network.add(report, start, until, checkpoints.get(key), last)
            self.known[network.content_hash] = network
            self.epochs_trained += network.epochs_trained - start
            self.epochs_by_trial[trial_of(key)] += network.epochs_trained - start
        for key, checkpoint in checkpoints.items():
            if not self.networks[key].diverged:
                self.networks[key].checkpoint = checkpoint
        return [key for key, report in reports.items() if report.diverged is None and report.stopped is None]

    def finish(self, key: str) -> None:
        """A trial's networks have reached their last epoch, unless they ended before."""
        for network in self.trials[key].networks:
            network.completed = network.diverged is None

    def prune(self, key: str, cause: str, until: int | None = None) -> None:
        """A trial is trained no further.

        Parameters
        ----------
        key : str
        cause : str
        until : int, optional
            The epoch at which the search decided it. Networks that an earlier session has trained beyond it are to be
            trained again, up to this epoch; see `to_retrain`.
        """
        trial = self.trials[key]
        if until is not None:
            trial.networks = tuple(
                self._restarted(network) if network.epochs_trained > until and not network.inherited else network
                for network in trial.networks
            )
        if n_left := len(self.replicates) - len(trial.networks):
            cause = f"{cause}, without {n_left} of its {len(self.replicates)} networks"
        for network in trial.networks:
            if not network.finished or (n_left and network.diverged is None):
                epoch = network.epochs_trained if network.ended else max(network.epochs_trained, until or 0)
                network.pruned, network.completed = (epoch, cause), False

    def _restarted(self, network: NetworkRecord) -> NetworkRecord:
        fresh = NetworkRecord(network.key, network.replicate, network.content_hash)
        self.networks[network.key] = self.known[network.content_hash] = fresh
        return fresh

    def to_retrain(self) -> list[tuple[NetworkRecord, int]]:
        """The networks that were pruned after an epoch to which they must be trained again, and this epoch."""
        pruned = [(network, network.pruned[0]) for network in self.networks.values() if network.pruned]
        return [(network, until) for network, until in pruned if network.epochs_trained < until]

    def mark_finished(self, keys: Iterable[str]) -> list[str]:
        """Those of the trials that are finished now and were not before; one of them may be the best.

        A trial that was trained on some of the folds is finished when it has diverged or the search has left it out.
        """
        finished = [key for key in keys if key not in self._finished and self._is_finished(self.trials[key])]
        self._finished |= set(finished)
        rankable = [trial for trial in map(self.trials.__getitem__, finished) if trial.rankable]
        self.best = min([*rankable, *([self.best] if self.best else [])], key=self._rank_key, default=None)
        return finished

    def _is_finished(self, trial: TrialRecord) -> bool:
        is_decided = self.is_whole(trial.key) or trial.diverged or any(network.pruned for network in trial.networks)
        return trial.finished and is_decided

    def ranking(self) -> list[TrialRecord]:
        """The trials that have a result, best first; of equal ones, the first trial first.

        Those that were trained on fewer folds come after all others, as scores on other rows do not compare.
        """
        return sorted((trial for trial in self.trials.values() if trial.rankable), key=self._rank_key)

    def _rank_key(self, trial: TrialRecord) -> tuple[int, float, int]:
        return -len(trial.networks), self.cost(trial), trial.number

    def cost(self, trial: TrialRecord) -> float:
        """The mean of the metric over a trial's networks, as a number of which smaller is better."""
        return self.ranking_metric.cost(trial.mean[self.metric])


def digest(records: SweepRecords) -> str:
    """SHA-256 over every network's identity, parameters, metrics and weights, trial by trial.

    Equal digests mean equal sweeps, to the last bit.
    """
    state = sha256()
    for trial in records.trials.values():
        for network in trial.networks:
            curves = dict(sorted(network.curves.items()))
            lengths = {name: len(values) for name, values in curves.items()}
            content: list[Any] = [network.key, network.replicate.seed, trial.parameters, lengths]
            content += [network.diverged, network.stopped, network.pruned, network.selected_epoch, network.fingerprint]
            scores = {name: value for name, value in network.final_metrics.items() if name not in curves}
            content += [scores] if scores else []
            state.update(json.dumps(content, sort_keys=True).encode())
            numbers = np.frombuffer(b"".join(curves.values()))
            alike = np.where(np.isnan(numbers), np.nan, numbers)  # there is more than one NaN
            state.update(alike.astype("<f8").tobytes())
    return state.hexdigest()
