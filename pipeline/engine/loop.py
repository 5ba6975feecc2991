"""The sweep: asks the search, trains what it asks for, notes what came of it, and tells the search.

What the journal knows from an earlier session of the run is not trained again: the search is asked and told the same,
and comes to the same decisions.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from nncore.architecture import Architecture
from nncore.stack.state import Network
from pipeline.backends.base import Future
from pipeline.components.errors import SettingError
from pipeline.config.variants import Variant
from pipeline.driver.data_pipeline import DataPipeline, PreparedFold, RunContext
from pipeline.engine.budget import Budget
from pipeline.engine.packing.planner import Job, NetworkOrigin
from pipeline.engine.records import SweepRecords
from pipeline.engine.rungs import Rungs
from pipeline.runs.network_record import CheckpointRef, NetworkRecord, Replicate
from pipeline.search.base import TrainRequest
from pipeline.search.trial import Trial


class TrialNetwork(NamedTuple):
    """A network that was asked for, and what it learns from."""

    trial: Trial
    variant: Variant
    network: Network
    architecture: Architecture
    view: PreparedFold


class RungTraining(Protocol):
    """What trains the networks of a rung; see trainer.py, and plan.py for what only seems to."""

    @property
    def states(self) -> "CheckpointIndex":
        """Where the networks' states are."""

    @property
    def late(self) -> bool:
        """The budget of seconds is used up."""

    def train(
        self, jobs: Sequence[Job], views: Sequence[Future], epochs: int, show: Callable[[list[str]], None]
    ) -> None:
        """Train the networks; `show` gets the keys of those that a slice reported. Views by their numbers."""


class CheckpointIndex(Protocol):
    """What knows where the states are; see states.py."""

    def origin(self, place: CheckpointRef) -> NetworkOrigin:
        """The stack with a state that was kept, in this session or in an earlier one."""

    def tidy(self) -> None:
        """Forget the states that no network needs any longer."""


class Engine:
    """Trains the networks of a sweep.

    results   what is known of them
    opened    by key, all networks that were asked for
    """

    def __init__(self, context: RunContext, before: DataPipeline, results: SweepRecords, trainer: RungTraining) -> None:
        settings = context.settings
        self._context, self._before, self.results, self._trainer = context, before, results, trainer
        self._epochs = settings.training.epochs
        self.opened: dict[str, TrialNetwork] = {}
        self._views: dict[str, int] = {}  # numbers by content hash
        self._futures: list[Future] = []  # by number
        objectives = (settings.select.metric, *settings.select.tradeoffs)
        self._rungs = Rungs(settings.sampler(), settings.budget, self._epochs, results, objectives, self.n_parameters)

    def run(self, show: Callable[[], None]) -> None:
        """Train all that the search asks for and the budget allows."""

        def reported(keys: Iterable[str]) -> None:
            self._notice({self.opened[key].trial.key for key in keys})
            show()

        while requests := self._rungs.next():
            self._let_go(reported)
            self._open(requests)
            self._notice(finished_before(self.results, requests, self._epochs))
            self._trainer.states.tidy()
            self._trainer.train(self._jobs(requests), self._futures, self._epochs, reported)
            if self._trainer.late:
                break
            self._rungs.done(requests)
            self._notice(request.trial.key for request in requests)
        if self._trainer.late:
            for key in self.results.trials:
                self.results.let_go(key, f"budget.seconds={self._context.settings.budget.seconds:g} is used up")
        self._let_go(reported)
        self._trainer.states.tidy()
        check_answers(self.results, self._context.settings.budget)

    @property
    def overlap(self) -> float:
        """With several folds n_validation / n_train, by which their scores depend on each other; else 0."""
        view_shape = next(iter(self.opened.values())).view.view_shape
        return (
            view_shape.n_validation / view_shape.n_train if any(repeat.fold for repeat in self.results.repeats) else 0.0
        )

    def n_parameters(self, trial: str) -> int:
        """How many numbers each network of a trial learns."""
        return self.opened[self.results.trials[trial].networks[0].key].architecture.n_parameters

    def _let_go(self, show: Callable[[list[str]], None]) -> None:
        """Note which trials go on no longer. What an earlier session has trained too far is trained again, so far."""
        if jobs := [self._job(result, until) for result, until in self.results.behind()]:
            self._trainer.train(jobs, self._futures, self._epochs, show)
        self._notice(self.results.trials)

    def _notice(self, trials: Iterable[str]) -> None:
        """Write to the journal which of the trials have come to their end."""
        if over := self.results.notice(trials):
            left = {key: cause for key in over if (cause := self.results.trials[key].left)}
            self._context.record.journal.append("over", trials=over, left=left)

    def _open(self, requests: list[TrainRequest]) -> None:
        """Enter the trials of a rung with their networks, and let the journal know."""
        variants = [self._context.variants.of(request.trial) for request in requests]
        views = self._before.views([(variant.prepare, variant.reduce) for variant in variants])
        asked: dict[str, dict[Replicate, str]] = {}
        content_hashes: dict[str, list[str | None]] = {}
        origins = {
            request.origin: self.results.trials[request.origin].networks for request in requests if request.origin
        }
        for request, variant, of_folds in zip(requests, variants, views, strict=True):
            networks = [self._network(request.trial, variant, repeat, of_folds) for repeat in self.results.repeats]
            parents = dict(zip(self.results.repeats, origins[request.origin], strict=True)) if request.origin else {}
            asked[request.trial.key] = {
                repeat: self._content_hash(one, request, parents.get(repeat))
                for repeat, one in zip(self.results.repeats, networks, strict=True)
            }
            history = {asked[request.trial.key][repeat]: parent for repeat, parent in parents.items()}
            content_hashes |= {
                one.network.key: [content_hash, parents[repeat].content_hash if parents else None]
                for one, (repeat, content_hash) in zip(networks, asked[request.trial.key].items(), strict=True)
            }
            self.results.open(request.trial, asked[request.trial.key], history)
            self.opened |= {one.network.key: one for one in networks}
        self._context.record.journal.append(
            "rung",
            number=self._rungs.number,
            trials={
                request.trial.key: {"label": request.trial.label, "parameters": request.trial.parameters}
                for request in requests
            },
            until={request.trial.key: request.until for request in requests},
            networks=content_hashes,
        )

    def _network(
        self, trial: Trial, variant: Variant, repeat: Replicate, views: tuple[PreparedFold, ...]
    ) -> TrialNetwork:
        view = views[repeat.fold]
        network = variant.net(trial, repeat.key(trial.key), repeat.seed)
        shape = self._context.variants.shape(variant, view.view_shape, self._before.task)
        return TrialNetwork(trial, variant, network, shape, view)

    def _content_hash(self, one: TrialNetwork, request: TrainRequest, origin: NetworkRecord | None) -> str:
        known = self.results.networks.get(one.network.key)
        if origin is not None:
            return copied_network_hash(one, origin, self._rungs.reached[request.origin or ""], self.results.known)
        return known.content_hash if known else network_hash(one, self._context.settings.training.loss_limit)

    def _jobs(self, requests: list[TrainRequest]) -> list[Job]:
        """The networks that are not yet where the rung wants them."""
        asked = [
            (result, request.until)
            for request in requests
            for result in self.results.trials[request.trial.key].networks
        ]
        return [self._job(result, until) for result, until in asked if not result.has(until)]

    def _job(self, result: NetworkRecord, until: int) -> Job:
        """To go on from the state that there is, or to begin anew."""
        one, goes_on = self.opened[result.key], result.place is not None and result.trained <= until
        view = self._views.setdefault(one.view.content_hash, len(self._futures))
        if view == len(self._futures):
            self._futures.append(one.view.data)
        if result.inherited and not goes_on:
            raise _lost(f"trial {result.key.partition('/')[0]}, which began as a copy of another")
        origin = self._trainer.states.origin(result.place) if goes_on and result.place else None
        return Job(
            one.network, one.architecture, view, one.view.view_shape, result.trained if origin else 0, until, origin
        )


def network_hash(one: TrialNetwork, *history: object) -> str:
    """Of all that the network's result depends on: equal content hashes, equal results."""
    net = one.network
    content = (
        one.view.content_hash,
        one.architecture,
        net.seed,
        net.optimizer,
        net.regularizers,
        net.schedule,
        *history,
    )
    return sha256(repr(content).encode()).hexdigest()[:32]


def copied_network_hash(one: TrialNetwork, origin: NetworkRecord, epoch: int, known: Container[str]) -> str:
    """Of a network that takes over the origin's state after the epoch.

    An earlier session may have trained the origin further; then its state is gone, unless the content hash is known.
    """
    content_hash = network_hash(one, origin.content_hash, min(origin.trained, epoch))
    if origin.trained > epoch and content_hash not in known:
        raise _lost(f"trial {origin.key.partition('/')[0]} as it was after epoch {epoch}")
    return content_hash


def check_answers(results: SweepRecords, budget: Budget) -> None:
    """Raise SettingError if the budget ended before any network could learn."""
    if any(network.trained for network in results.networks.values()):
        return
    for name, value in (("network_epochs", budget.network_epochs), ("seconds", budget.seconds)):
        if value is not None:
            raise SettingError(f"budget.{name}={value:g} is used up before a single trial has learnt; allow more")


def _lost(what: str) -> SettingError:
    return SettingError(f"the run's folder no longer holds the state of {what}; begin a new run with resume=never")


def finished_before(results: SweepRecords, requests: list[TrainRequest], epochs: int) -> list[str]:
    """The trials that an earlier session has brought to their last epoch; they are marked as finished."""
    done = [
        request.trial.key
        for request in requests
        if request.until == epochs
        and all(network.has(epochs) for network in results.trials[request.trial.key].networks)
    ]
    for key in done:
        results.finish(key)
    return done
