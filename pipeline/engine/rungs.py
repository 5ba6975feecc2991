"""Between the search and the results: what to train next within the budget, what to tell, who is over. Pure."""

import math
from collections.abc import Callable, Sequence

from pipeline.engine.budget import Budget
from pipeline.engine.records import SweepRecords, TrialRecord, smaller_is_better
from pipeline.search.base import Sampler, TrainRequest


class Rungs:
    """Asks the search for one rung after the other.

    epochs       the last epoch of a network that is not let go before
    objectives   what the search is told: names of metrics, and "parameters"
    size         how many numbers a trial's networks learn, by its key
    number       of rungs that were asked for
    reached      by trial, the epoch to which it was asked for and has come
    """

    def __init__(
        self,
        sampler: Sampler,
        budget: Budget,
        epochs: int,
        results: SweepRecords,
        objectives: Sequence[str],
        size: Callable[[str], int],
    ) -> None:
        self._sampler, self._budget, self._epochs, self._results = sampler, budget, epochs, results
        self._objectives, self._size = tuple(objectives), size
        self.reached: dict[str, int] = {}
        self._spent, self._used_up = 0, ""
        self.number = 0

    def next(self) -> list[TrainRequest]:
        """What is to be trained next; nothing when the search or the budget has come to its end."""
        cause = self._used_up or "the search left it out"
        asked = [] if self._used_up else self._sampler.ask()
        requests = self._affordable(asked)
        going_on = {request.trial.key for request in asked}
        for key in self.reached:
            if key not in going_on:
                self._results.let_go(key, cause, self.reached[key])
        if len(requests) < len(asked):
            for request in asked[len(requests) :]:
                if request.trial.key in self.reached:
                    self._results.let_go(request.trial.key, self._used_up, self.reached[request.trial.key])
        self.number += 1
        return requests

    def done(self, requests: Sequence[TrainRequest]) -> None:
        """The rung was trained: the search gets to know what came of it."""
        for request in requests:
            self.reached[request.trial.key] = request.until
            if request.until == self._epochs:
                self._results.finish(request.trial.key)
        if not self._used_up:
            self._sampler.tell({request.trial.key: self._scores(request) for request in requests})

    def _affordable(self, requests: list[TrainRequest]) -> list[TrainRequest]:
        """The first legs, as many as the budget allows."""
        begun, n_networks = len(self.reached), len(self._results.repeats)
        for at, request in enumerate(requests):
            new = request.trial.key not in self.reached
            cost = n_networks * (request.until - self.reached.get(request.trial.key, 0))
            if new and self._budget.trials is not None and begun >= self._budget.trials:
                self._used_up = f"budget.trials={self._budget.trials} is used up"
            elif self._budget.network_epochs is not None and self._spent + cost > self._budget.network_epochs:
                self._used_up = f"budget.network_epochs={self._budget.network_epochs} is used up"
            if self._used_up:
                return requests[:at]
            begun, self._spent = begun + new, self._spent + cost
        return requests

    def _scores(self, request: TrainRequest) -> tuple[float, ...]:
        """The trial's objectives, smaller is better, after the epoch that was asked for; inf if it diverged."""
        trial = self._results.trials[request.trial.key]
        if any(network.diverged_by(request.until) for network in trial.networks):
            return (math.inf,) * len(self._objectives)
        return tuple(self._objective(name, trial, request.until) for name in self._objectives)

    def _objective(self, name: str, trial: TrialRecord, until: int) -> float:
        if name == "parameters":
            return float(self._size(trial.key))
        values = [network.at(until)[f"validation/{name}"] for network in trial.networks]
        return smaller_is_better(name, math.fsum(values) / len(values))
