"""The sweep: asks the search, trains what it asks for, notes what came of it, and tells the search.

What the journal knows from an earlier session of the run is not trained again: the search is asked and told the same,
and comes to the same decisions.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from nncore.shape import Shape
from nncore.stack import Network
from pipeline.errors import SettingError
from pipeline.execution.base import Handle
from pipeline.search.base import Leg
from pipeline.settings.run_settings import Budget
from pipeline.settings.variants import Variant
from pipeline.sweep.planner import Job, Origin
from pipeline.sweep.result import Place, Repeat, Result
from pipeline.sweep.results import Results
from pipeline.sweep.rungs import Rungs
from pipeline.sweep.trial import Trial
from pipeline.upstream import FoldView, Means, Upstream


class Opened(NamedTuple):
    """A network that was asked for, and what it learns from."""

    trial: Trial
    variant: Variant
    network: Network
    shape: Shape
    view: FoldView


class Training(Protocol):
    """What trains the networks of a rung; see trainer.py, and plan.py for what only seems to."""

    @property
    def states(self) -> "Keeping":
        """Where the networks' states are."""

    @property
    def late(self) -> bool:
        """The budget of seconds is used up."""

    def train(
        self, jobs: Sequence[Job], views: Sequence[Handle], epochs: int, show: Callable[[list[str]], None]
    ) -> None:
        """Train the networks; `show` gets the keys of those that a slice reported. Views by their numbers."""


class Keeping(Protocol):
    """What knows where the states are; see states.py."""

    def origin(self, place: Place) -> Origin:
        """The stack with a state that was kept, in this session or in an earlier one."""

    def tidy(self) -> None:
        """Forget the states that no network needs any longer."""


class Engine:
    """Trains the networks of a sweep.

    results   what is known of them
    opened    by key, all networks that were asked for
    """

    def __init__(self, means: Means, before: Upstream, results: Results, trainer: Training) -> None:
        settings = means.settings
        self._means, self._before, self.results, self._trainer = means, before, results, trainer
        self._epochs = settings.training.epochs
        self.opened: dict[str, Opened] = {}
        self._views: dict[str, int] = {}  # numbers by address
        self._handles: list[Handle] = []  # by number
        objectives = (settings.select.metric, *settings.select.tradeoffs)
        self._rungs = Rungs(settings.asker(), settings.budget, self._epochs, results, objectives, self.n_parameters)

    def run(self, show: Callable[[], None]) -> None:
        """Train all that the search asks for and the budget allows."""

        def reported(keys: Iterable[str]) -> None:
            self._notice({self.opened[key].trial.key for key in keys})
            show()

        while legs := self._rungs.next():
            self._let_go(reported)
            self._open(legs)
            self._notice(finished_before(self.results, legs, self._epochs))
            self._trainer.states.tidy()
            self._trainer.train(self._jobs(legs), self._handles, self._epochs, reported)
            if self._trainer.late:
                break
            self._rungs.done(legs)
            self._notice(leg.trial.key for leg in legs)
        if self._trainer.late:
            for key in self.results.trials:
                self.results.let_go(key, f"budget.seconds={self._means.settings.budget.seconds:g} is used up")
        self._let_go(reported)
        self._trainer.states.tidy()
        check_answers(self.results, self._means.settings.budget)

    @property
    def overlap(self) -> float:
        """With several folds n_validation / n_train, by which their scores depend on each other; else 0."""
        facts = next(iter(self.opened.values())).view.facts
        return facts.n_validation / facts.n_train if any(repeat.fold for repeat in self.results.repeats) else 0.0

    def n_parameters(self, trial: str) -> int:
        """How many numbers each network of a trial learns."""
        return self.opened[self.results.trials[trial].networks[0].key].shape.n_parameters

    def _let_go(self, show: Callable[[list[str]], None]) -> None:
        """Note which trials go on no longer. What an earlier session has trained too far is trained again, so far."""
        if jobs := [self._job(result, until) for result, until in self.results.behind()]:
            self._trainer.train(jobs, self._handles, self._epochs, show)
        self._notice(self.results.trials)

    def _notice(self, trials: Iterable[str]) -> None:
        """Write to the journal which of the trials have come to their end."""
        if over := self.results.notice(trials):
            left = {key: cause for key in over if (cause := self.results.trials[key].left)}
            self._means.record.journal.append("over", trials=over, left=left)

    def _open(self, legs: list[Leg]) -> None:
        """Enter the trials of a rung with their networks, and let the journal know."""
        variants = [self._means.variants.of(leg.trial) for leg in legs]
        views = self._before.views([(variant.prepare, variant.reduce) for variant in variants])
        asked: dict[str, dict[Repeat, str]] = {}
        addresses: dict[str, list[str | None]] = {}
        origins = {leg.origin: self.results.trials[leg.origin].networks for leg in legs if leg.origin}
        for leg, variant, of_folds in zip(legs, variants, views, strict=True):
            networks = [self._network(leg.trial, variant, repeat, of_folds) for repeat in self.results.repeats]
            parents = dict(zip(self.results.repeats, origins[leg.origin], strict=True)) if leg.origin else {}
            asked[leg.trial.key] = {
                repeat: self._address(one, leg, parents.get(repeat))
                for repeat, one in zip(self.results.repeats, networks, strict=True)
            }
            history = {asked[leg.trial.key][repeat]: parent for repeat, parent in parents.items()}
            addresses |= {
                one.network.key: [address, parents[repeat].address if parents else None]
                for one, (repeat, address) in zip(networks, asked[leg.trial.key].items(), strict=True)
            }
            self.results.open(leg.trial, asked[leg.trial.key], history)
            self.opened |= {one.network.key: one for one in networks}
        self._means.record.journal.append(
            "rung",
            number=self._rungs.number,
            trials={leg.trial.key: {"label": leg.trial.label, "parameters": leg.trial.parameters} for leg in legs},
            until={leg.trial.key: leg.until for leg in legs},
            networks=addresses,
        )

    def _network(self, trial: Trial, variant: Variant, repeat: Repeat, views: tuple[FoldView, ...]) -> Opened:
        view = views[repeat.fold]
        network = variant.net(trial, repeat.key(trial.key), repeat.seed)
        shape = self._means.variants.shape(variant, view.facts, self._before.task)
        return Opened(trial, variant, network, shape, view)

    def _address(self, one: Opened, leg: Leg, origin: Result | None) -> str:
        known = self.results.networks.get(one.network.key)
        if origin is not None:
            return copied_address(one, origin, self._rungs.reached[leg.origin or ""], self.results.known)
        return known.address if known else address_of(one, self._means.settings.training.loss_limit)

    def _jobs(self, legs: list[Leg]) -> list[Job]:
        """The networks that are not yet where the rung wants them."""
        asked = [(result, leg.until) for leg in legs for result in self.results.trials[leg.trial.key].networks]
        return [self._job(result, until) for result, until in asked if not result.has(until)]

    def _job(self, result: Result, until: int) -> Job:
        """To go on from the state that there is, or to begin anew."""
        one, goes_on = self.opened[result.key], result.place is not None and result.trained <= until
        view = self._views.setdefault(one.view.address, len(self._handles))
        if view == len(self._handles):
            self._handles.append(one.view.data)
        if result.inherited and not goes_on:
            raise _lost(f"trial {result.key.partition('/')[0]}, which began as a copy of another")
        origin = self._trainer.states.origin(result.place) if goes_on and result.place else None
        return Job(one.network, one.shape, view, one.view.facts, result.trained if origin else 0, until, origin)


def address_of(one: Opened, *history: object) -> str:
    """Of all that the network's result depends on: equal addresses, equal results."""
    net = one.network
    content = (one.view.address, one.shape, net.seed, net.optimizer, net.regularizers, net.schedule, *history)
    return sha256(repr(content).encode()).hexdigest()[:32]


def copied_address(one: Opened, origin: Result, epoch: int, known: Container[str]) -> str:
    """Of a network that takes over the origin's state after the epoch.

    An earlier session may have trained the origin further; then its state is gone, unless the address is known.
    """
    address = address_of(one, origin.address, min(origin.trained, epoch))
    if origin.trained > epoch and address not in known:
        raise _lost(f"trial {origin.key.partition('/')[0]} as it was after epoch {epoch}")
    return address


def check_answers(results: Results, budget: Budget) -> None:
    """Raise SettingError if the budget ended before any network could learn."""
    if any(network.trained for network in results.networks.values()):
        return
    for name, value in (("network_epochs", budget.network_epochs), ("seconds", budget.seconds)):
        if value is not None:
            raise SettingError(f"budget.{name}={value:g} is used up before a single trial has learnt; allow more")


def _lost(what: str) -> SettingError:
    return SettingError(f"the run's folder no longer holds the state of {what}; begin a new run with resume=never")


def finished_before(results: Results, legs: list[Leg], epochs: int) -> list[str]:
    """The trials that an earlier session has brought to their last epoch; they are marked as finished."""
    done = [
        leg.trial.key
        for leg in legs
        if leg.until == epochs and all(network.has(epochs) for network in results.trials[leg.trial.key].networks)
    ]
    for key in done:
        results.finish(key)
    return done
