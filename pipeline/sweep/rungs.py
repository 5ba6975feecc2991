"""Between the search and the results: what to train next within the budget, what to tell, who is over. Pure."""

import math
from collections.abc import Callable, Sequence

from pipeline.search.base import Asker, Leg
from pipeline.settings.run_settings import Budget
from pipeline.sweep.results import Results, TrialResult, smaller_is_better


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
        asker: Asker,
        budget: Budget,
        epochs: int,
        results: Results,
        objectives: Sequence[str],
        size: Callable[[str], int],
    ) -> None:
        self._asker, self._budget, self._epochs, self._results = asker, budget, epochs, results
        self._objectives, self._size = tuple(objectives), size
        self.reached: dict[str, int] = {}
        self._spent, self._used_up = 0, ""
        self.number = 0

    def next(self) -> list[Leg]:
        """What is to be trained next; nothing when the search or the budget has come to its end."""
        cause = self._used_up or "the search left it out"
        asked = [] if self._used_up else self._asker.ask()
        legs = self._affordable(asked)
        going_on = {leg.trial.key for leg in asked}
        for key in self.reached:
            if key not in going_on:
                self._results.let_go(key, cause, self.reached[key])
        if len(legs) < len(asked):
            for leg in asked[len(legs) :]:
                if leg.trial.key in self.reached:
                    self._results.let_go(leg.trial.key, self._used_up, self.reached[leg.trial.key])
        self.number += 1
        return legs

    def done(self, legs: Sequence[Leg]) -> None:
        """The rung was trained: the search gets to know what came of it."""
        for leg in legs:
            self.reached[leg.trial.key] = leg.until
            if leg.until == self._epochs:
                self._results.finish(leg.trial.key)
        if not self._used_up:
            self._asker.tell({leg.trial.key: self._scores(leg) for leg in legs})

    def _affordable(self, legs: list[Leg]) -> list[Leg]:
        """The first legs, as many as the budget allows."""
        begun, n_networks = len(self.reached), len(self._results.repeats)
        for at, leg in enumerate(legs):
            new = leg.trial.key not in self.reached
            cost = n_networks * (leg.until - self.reached.get(leg.trial.key, 0))
            if new and self._budget.trials is not None and begun >= self._budget.trials:
                self._used_up = f"budget.trials={self._budget.trials} is used up"
            elif self._budget.network_epochs is not None and self._spent + cost > self._budget.network_epochs:
                self._used_up = f"budget.network_epochs={self._budget.network_epochs} is used up"
            if self._used_up:
                return legs[:at]
            begun, self._spent = begun + new, self._spent + cost
        return legs

    def _scores(self, leg: Leg) -> tuple[float, ...]:
        """The trial's objectives, smaller is better, after the epoch that was asked for; inf if it diverged."""
        trial = self._results.trials[leg.trial.key]
        if any(network.diverged_by(leg.until) for network in trial.networks):
            return (math.inf,) * len(self._objectives)
        return tuple(self._objective(name, trial, leg.until) for name in self._objectives)

    def _objective(self, name: str, trial: TrialResult, until: int) -> float:
        if name == "parameters":
            return float(self._size(trial.key))
        values = [network.at(until)[f"validation/{name}"] for network in trial.networks]
        return smaller_is_better(name, math.fsum(values) / len(values))
