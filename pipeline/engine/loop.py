"""The sweep: ask the search, train what it asks for, record the results, tell the search.

What the journal of an earlier session of the run knows is not trained again: the search is asked and told the same,
and comes to the same decisions.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.components.errors import SettingError
from pipeline.components.fingerprints import settings_hash
from pipeline.components.scores import ranking_metric
from pipeline.engine.budget import Budget
from pipeline.engine.packing.planner import TrialNetwork, epoch_flops
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.journal import Journal
from pipeline.runs.records import NetworkRecord, TrialRecord, trial_of
from pipeline.search.base import Sampler, TrainRequest
from pipeline.search.trial import Trial

NetworkFactory = Callable[[Sequence[TrainRequest]], list[list[TrialNetwork]]]  # for each request, all its networks


def arithmetic_of(build_networks: NetworkFactory) -> Callable[[TrainRequest], int]:
    """Return the function that counts the floating point operations of an epoch of all networks of a request."""
    return lambda request: epoch_flops(build_networks([request])[0])


class Spending(NamedTuple):
    """What training has cost: epochs of networks, and floating point operations in their matrix products."""

    network_epochs: int
    flops: int


class Rungs:
    """The rungs of a search, as far as the budget allows.

    Parameters
    ----------
    sampler : Sampler
    budget : Budget
    epochs : int
        The last epoch of a network that is not pruned.
    records : SweepRecords
    objectives : sequence of str
        What the search is told: names of metrics, and "parameters".
    n_parameters : callable
        From a trial's key, how many parameters each of its networks has.
    flops_per_epoch : callable
        From a request, the floating point operations in matrix products of one epoch of all its networks.
    applies : callable
        From a trial, whether its settings apply to the task.

    Attributes
    ----------
    number : int
        Rungs that were asked for.
    n_costly : int
        Trials that were left out because they take more arithmetic than their requests allow.
    used_up : str
        The budget that has ended the search, such as "budget.trials=50"; "" if none has.
    reached : dict of str to int
        By trial, the epoch of the last rung in which it was trained.
    """

    def __init__(
        self,
        sampler: Sampler,
        budget: Budget,
        epochs: int,
        records: SweepRecords,
        objectives: Sequence[str],
        n_parameters: Callable[[str], int],
        flops_per_epoch: Callable[[TrainRequest], int],
        applies: Callable[[Trial], bool],
    ) -> None:
        self._sampler, self._budget, self._epochs, self._records = sampler, budget, epochs, records
        self._objectives, self._n_parameters = tuple(objectives), n_parameters
        self._flops_per_epoch, self._applies = flops_per_epoch, applies
        self._left_out: list[str] = []  # trials of this rung
        self.reached: dict[str, int] = {}
        self._spent, self._total = dict[str, Spending](), Spending(0, 0)  # by trial, and in all
        self.used_up = ""
        self.number = self.n_costly = 0

    def next(self) -> list[TrainRequest]:
        """What to train next, [] at the end of the search or of the budget. Trials that are left out are pruned."""
        had_ended = bool(self.used_up)
        asked = [] if had_ended else self._asked()
        requests: list[TrainRequest] = []
        for request in asked:
            self.used_up = self._exceeded(request)
            if self.used_up:
                break
            requests.append(request)
        wanted, affordable = ({request.trial.key for request in part} for part in (asked, requests))
        for key, epoch in self.reached.items():
            if key not in affordable:
                by_budget = had_ended or key in wanted
                self._records.prune(key, _used_up(self.used_up) if by_budget else "the search left it out", epoch)
        self.number += 1
        return requests

    def _asked(self) -> list[TrainRequest]:
        """What the search asks for, without what does not apply to the task or takes too much arithmetic."""
        while requests := self._sampler.ask():
            applying = [request for request in requests if self._applies(request.trial)]
            asked = self._affordable(applying)
            self.n_costly += len(applying) - len(asked)
            self._left_out = [request.trial.key for request in requests if request not in asked]
            if asked:
                return asked
            self._sampler.tell(self._scores_of_left_out)
        return []

    def _affordable(self, requests: list[TrainRequest]) -> list[TrainRequest]:
        """The requests that take no more arithmetic than they allow; if none does, the one that takes least."""
        if all(request.teraflops is None for request in requests):
            return requests
        flops = [self._epochs * self._flops_per_epoch(request) for request in requests]
        pairs = list(zip(requests, flops, strict=True))
        affordable = [request for request, n in pairs if request.teraflops is None or n <= request.teraflops * 1e12]
        return affordable or [min(pairs, key=lambda pair: pair[1])[0]]

    @property
    def _scores_of_left_out(self) -> dict[str, tuple[float, ...]]:
        return dict.fromkeys(self._left_out, (math.inf,) * len(self._objectives))

    def _exceeded(self, request: TrainRequest) -> str:
        """Which budget the request would exceed, or ""; then it counts as spent."""
        budget, key = self._budget, request.trial.key
        if budget.trials is not None and key not in self._spent and len(self._spent) >= budget.trials:
            return f"budget.trials={budget.trials}"
        flops_per_epoch = 0 if budget.teraflops is None else self._flops_per_epoch(request)
        n_networks = len(self._records.replicates_of(request.validation_rows))
        before = self._spent.get(key, Spending(0, 0))
        spent = Spending(request.until * n_networks, request.until * flops_per_epoch)
        total = Spending(*(a + b - c for a, b, c in zip(self._total, spent, before, strict=True)))
        if budget.network_epochs is not None and total.network_epochs > budget.network_epochs:
            return f"budget.network_epochs={budget.network_epochs}"
        if budget.teraflops is not None and total.flops > budget.teraflops * 1e12:
            return f"budget.teraflops={budget.teraflops:g}"
        self._spent[key], self._total = spent, total
        return ""

    def trained(self, requests: Sequence[TrainRequest]) -> None:
        """The rung was trained: tell the search the scores."""
        for request in requests:
            self.reached[request.trial.key] = request.until
            if request.until == self._epochs and self._records.is_whole(request.trial.key):
                self._records.finish(request.trial.key)
        if not self.used_up:
            scores = {request.trial.key: self._scores(request) for request in requests}
            self._sampler.tell(scores | self._scores_of_left_out)

    def _scores(self, request: TrainRequest) -> tuple[float, ...]:
        """The trial's objectives at the epoch that was asked for, smaller is better; inf if it diverged."""
        trial = self._records.trials[request.trial.key]
        if any(network.diverged_by(request.until) for network in trial.networks):
            return (math.inf,) * len(self._objectives)
        return tuple(self._objective(name, trial, request.until) for name in self._objectives)

    def _objective(self, name: str, trial: TrialRecord, until: int) -> float:
        if name == "parameters":
            return float(self._n_parameters(trial.key))
        ranking = self._records.ranking_metric
        metric = ranking if name == ranking.name else ranking_metric(name)
        values = [network.metrics_at(until)[metric.curve] for network in trial.networks]
        return metric.cost(math.fsum(values) / len(values))


class Engine:
    """Trains the networks of a sweep.

    Parameters
    ----------
    sampler : Sampler
    budget : Budget
    epochs : int
        The last epoch of a network that is not pruned.
    objectives : sequence of str
        What the search is told: names of metrics, and "parameters".
    records : SweepRecords
    trainer : RungTrainer
    journal : Journal
    build_networks : callable
        From the requests of a rung, the networks of each trial, in the order of the records' replicates, whose first
        ones they are.
    applies : callable
        From a trial, whether its settings apply to the task; others are left out.
    clock_rung : int or None, default None
        The rung in which the clock ended the sweep in an earlier session; it ends it there again.

    Attributes
    ----------
    records : SweepRecords
    networks : dict of str to TrialNetwork
        By key, all networks that were asked for.
    """

    def __init__(
        self,
        sampler: Sampler,
        budget: Budget,
        epochs: int,
        objectives: Sequence[str],
        records: SweepRecords,
        trainer: RungTrainer,
        journal: Journal,
        build_networks: NetworkFactory,
        applies: Callable[[Trial], bool],
        clock_rung: int | None = None,
    ) -> None:
        flops_per_epoch = arithmetic_of(build_networks)
        self._rungs = Rungs(sampler, budget, epochs, records, objectives, self.n_parameters, flops_per_epoch, applies)
        self._budget, self._epochs = budget, epochs
        self.records, self._trainer, self._journal = records, trainer, journal
        self._build_networks, self._clock_rung, self._clock = build_networks, clock_rung, ""
        self.networks: dict[str, TrialNetwork] = {}

    def run(self, show: Callable[[], None]) -> None:
        """Train all that the search asks for and the budget allows.

        Parameters
        ----------
        show : callable
            Called after slices have been recorded.

        Raises
        ------
        SettingError
            If the budget ended before any network was trained.
        """

        def report(keys: Iterable[str]) -> None:
            self._write_finished({trial_of(key) for key in keys})
            show()

        while requests := self._rungs.next():
            self._catch_up(report)
            self._enter(requests)
            self._trainer.checkpoints.delete_unused()
            untrained = [
                self.continued(record, request.until)
                for request in requests
                for record in self.records.trials[request.trial.key].networks
                if not record.available_at(request.until)
            ]
            if self._rungs.number != self._clock_rung:
                self._trainer.train(untrained, report)
            if self._rungs.number == self._clock_rung or (untrained and self._trainer.late):
                self._end_by_clock()
                break
            self._rungs.trained(requests)
            self._write_finished(request.trial.key for request in requests)
        self._catch_up(report)
        self._trainer.checkpoints.delete_unused()
        check_trained(self.records, self._rungs.used_up)

    @property
    def n_costly(self) -> int:
        """Trials that were left out because they take more arithmetic than the search allows."""
        return self._rungs.n_costly

    @property
    def ended_by(self) -> str | None:
        """Which budget has ended the sweep, such as "budget.trials=50"; None if the search came to its end."""
        return self._clock or self._rungs.used_up or None

    def _end_by_clock(self) -> None:
        """Prune all trials that are not finished, and write to the journal where that was: a resumed run ends there."""
        assert self._budget.seconds is not None
        self._clock = f"budget.seconds={self._budget.seconds:g}"
        self._journal.append("clock", rung=self._rungs.number, seconds=self._budget.seconds)
        for key in self.records.trials:
            self.records.prune(key, _used_up(self._clock))

    def n_parameters(self, trial: str) -> int:
        """How many parameters each network of a trial has."""
        return self.networks[self.records.trials[trial].networks[0].key].architecture.n_parameters

    def _catch_up(self, report: Callable[[list[str]], None]) -> None:
        """Bring pruned trials to their end.

        An earlier session may have trained some beyond the epoch after which they are pruned now; then their networks
        are trained again, up to this epoch.
        """
        if networks := [self.continued(record, until) for record, until in self.records.to_retrain()]:
            self._trainer.train(networks, report)
        self._write_finished(self.records.trials)

    def _write_finished(self, trials: Iterable[str]) -> None:
        """Write to the journal which of the trials are finished."""
        if finished := self.records.mark_finished(trials):
            networks = [network for key in finished for network in self.records.trials[key].networks]
            pruned = {network.key: network.pruned for network in networks if network.pruned}
            self._journal.append("finished", trials=finished, pruned=pruned)

    def _enter(self, requests: list[TrainRequest]) -> None:
        """Enter the trials of a rung and their networks into the records, and the rung into the journal.

        Trials that an earlier session has trained to their last epoch are finished at once.
        """
        built = self._build_networks(requests)
        hashes = enter_networks(self.records, requests, built, self._rungs.reached)
        self.networks |= {network.key: network for networks in built for network in networks}
        self._journal.append(
            "rung",
            number=self._rungs.number,
            trials={
                trial.key: {"labels": trial.labels, "parameters": trial.parameters}
                for trial in (self.records.trials[request.trial.key] for request in requests)
            },
            until={request.trial.key: request.until for request in requests},
            networks=hashes,
        )
        trained = [
            request.trial.key
            for request in requests
            if request.until == self._epochs
            and self.records.is_whole(request.trial.key)
            and all(network.available_at(self._epochs) for network in self.records.trials[request.trial.key].networks)
        ]
        for key in trained:
            self.records.finish(key)
        self._write_finished(trained)

    def continued(self, record: NetworkRecord, until: int) -> TrialNetwork:
        """Return the network, to be trained from its checkpoint if there is one, else from its initial weights."""
        network = self.networks[record.key]
        if record.checkpoint is not None and record.epochs_trained <= until:
            origin = self._trainer.checkpoints.origin(record.checkpoint)
            return network._replace(start=record.epochs_trained, until=until, origin=origin)
        if record.inherited:
            raise _missing(f"trial {trial_of(record.key)}, which began as a copy of another")
        return network._replace(until=until)


def enter_networks(
    records: SweepRecords,
    requests: Sequence[TrainRequest],
    networks: Sequence[Sequence[TrialNetwork]],
    reached: Mapping[str, int],
) -> dict[str, list[str | None]]:
    """Enter the trials of a rung and their networks into the records.

    Parameters
    ----------
    records : SweepRecords
    requests : sequence of TrainRequest
    networks : sequence of sequence of TrialNetwork
        For each request, its networks in the order of the records' replicates, whose first ones they are.
    reached : mapping of str to int
        By trial, the epoch of the last rung in which it was trained.

    Returns
    -------
    dict of str to list
        By network, its content hash, and that of the network that it is a copy of, or None.
    """
    parents = {request.trial.key: records.trials[request.origin].networks for request in requests if request.origin}
    hashes: dict[str, list[str | None]] = {}
    for request, of_trial in zip(requests, networks, strict=True):
        of_networks: list[str] = []
        histories: dict[str, NetworkRecord] = {}
        for network, parent in zip(of_trial, parents.get(request.trial.key, (None,) * len(of_trial)), strict=True):
            if parent:
                content_hash = copied_network_hash(network, parent, reached[request.origin or ""], records.known)
                histories[content_hash] = parent
            else:
                known = records.networks.get(network.key)
                content_hash = known.content_hash if known else network.content_hash
            of_networks.append(content_hash)
            hashes[network.key] = [content_hash, parent.content_hash if parent else None]
        asked_for = records.replicates[: len(of_networks)]
        records.open(request.trial, dict(zip(asked_for, of_networks, strict=True)), histories)
    return hashes


def copied_network_hash(network: TrialNetwork, parent: NetworkRecord, epoch: int, known: Container[str]) -> str:
    """The content hash of a network that continues from its parent's state after an epoch.

    Raises
    ------
    SettingError
        If an earlier session has trained the parent further, so that this state is gone, and the result is not known.
    """
    copied = settings_hash("copy", network.content_hash, parent.content_hash, min(parent.epochs_trained, epoch))
    if parent.epochs_trained > epoch and copied not in known:
        raise _missing(f"trial {trial_of(parent.key)} as it was after epoch {epoch}")
    return copied


def check_trained(records: SweepRecords, used_up: str) -> None:
    """Raise SettingError if a budget, such as "budget.teraflops=1", was used up before any network was trained."""
    if used_up and not any(network.epochs_trained for network in records.networks.values()):
        raise SettingError(f"{used_up} is used up before any trial was trained; increase it")


def _missing(state: str) -> SettingError:
    return SettingError(f"the run's folder no longer holds the state of {state}; begin a new run with resume=never")


def _used_up(budget: str) -> str:
    return f"{budget} is used up"
