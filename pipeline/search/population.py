"""Population-based training: hyperparameters change while their networks learn."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated

import numpy as np
from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import Sampler, TrainRequest, require_one_objective
from pipeline.search.grammar import Choices, Range, Suggester
from pipeline.search.random_search import RandomSuggester
from pipeline.search.space import TrialSpace

Decided = dict[str, float]  # by the name of a decision, the index or the number that was chosen


@dataclass(frozen=True, config=STRICT)
class Population:
    """Population-based training: at intervals, the worst networks become copies of the best, slightly changed.

    Parameters
    ----------
    size : int, >= 2
        Trials, drawn at random at the beginning.
    every : int, > 0
        Epochs between two such changes.
    share : float in (0, 0.5]
        Which share of the population is replaced, and by copies of which share. Diverged trials are replaced besides.
    factor : float, > 1
        Numbers from a range are multiplied or divided by it, but never leave the range; of listed numbers a neighbour
        is taken.
    seed : int, >= 0

    Notes
    -----
    Changed are numbers of optimizers and regularizers, which may differ between the networks of a stack. Everything
    else is copied.

    References
    ----------
    Jaderberg et al. (2017), arXiv:1711.09846: truncation selection, perturbation.
    """

    size: Annotated[int, Strict(), Field(ge=2)]
    every: PositiveInt
    share: Annotated[float, Strict(), Field(gt=0, le=0.5)]
    factor: Annotated[float, Strict(), Field(gt=1)]
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        require_one_objective("population", n_objectives)
        if self.every >= epochs:
            raise ValueError(f"search.every must be below training.epochs, {epochs}, but is {self.every}")
        if not space.per_network:
            raise ValueError("search=population changes numbers of optimizers and regularizers, but space has none")
        return PopulationSampler(self, space, epochs)


class PopulationSampler:
    """The trials of a population, each with the decisions that made it and the trial that it is a copy of."""

    def __init__(self, settings: Population, space: TrialSpace, epochs: int) -> None:
        self._settings, self._space, self._epochs = settings, space, epochs
        self._until = settings.every
        self.n_repeated = 0  # equal members differ as soon as one of them is changed
        self.designed_trials: tuple[str, ...] = ()  # their settings depend on scores
        self.comparison_pending = False
        self._decided: list[Decided] = [{} for _ in range(settings.size)]
        self._requests = [
            self._request(number, RandomSuggester(generator(settings.seed, "search", number, 0)), None)
            for number in range(settings.size)
        ]

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """Replace the worst trials by changed copies of the best."""
        score = [scores[request.trial.key][0] for request in self._requests]
        ranked = sorted(range(len(score)), key=lambda number: (score[number], number))
        finite = [number for number in ranked if isfinite(score[number])]
        if self._until == self._epochs or not finite:
            self._requests = []
            return
        n_replaced = max(1, int(self._settings.share * self._settings.size))
        best, kept = finite[:n_replaced], finite[: len(ranked) - n_replaced]
        before, self._until = self._until, min(self._until + self._settings.every, self._epochs)
        self._requests = [
            request._replace(until=self._until, origin=None) if number in kept else self._copy(number, best, before)
            for number, request in enumerate(self._requests)
        ]

    def _copy(self, number: int, best: list[int], epoch: int) -> TrainRequest:
        """A changed copy of one of the best."""
        random = generator(self._settings.seed, "population", epoch, number)
        origin = best[int(random.integers(len(best)))]
        change = PerturbingSuggester(self._decided[origin], self._space.per_network, self._settings.factor, random)
        return self._request(number, change, self._requests[origin].trial.key)

    def _request(self, number: int, suggester: Suggester, origin: str | None) -> TrainRequest:
        recorder = RecordingSuggester(suggester)
        trial = self._space.suggest(number, recorder)
        self._decided[number] = recorder.decided
        return TrainRequest(trial, self._until, origin)


class RecordingSuggester:
    """Records what another suggester chooses."""

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self.decided: Decided = {}

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        index = self._suggester.index(name, n)
        self.decided[name] = index
        return index

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        self.decided[name] = number = self._suggester.number(name, numbers)
        return number


class PerturbingSuggester:
    """Chooses as was decided before, but moves numbers that may change up or down at random.

    Parameters
    ----------
    decided : dict of str to float
        What was decided.
    changeable : dict of str to Choices or Range
        The decisions that may change.
    factor : float, > 1
    random : numpy.random.Generator
    """

    def __init__(
        self, decided: Decided, changeable: dict[str, Choices | Range], factor: float, random: np.random.Generator
    ) -> None:
        self._decided, self._changeable, self._factor, self._random = decided, changeable, factor, random

    def index(self, name: str, n: int) -> int:
        """The same choice, or one of its neighbours in the order of the values."""
        index, choices = int(self._decided[name]), self._changeable.get(name)
        if not isinstance(choices, Choices):
            return index
        order = sorted(range(n), key=choices.values.__getitem__)
        place = order.index(index) + (1 if self._goes_up() else -1)
        return order[min(max(place, 0), n - 1)]

    def number(self, name: str, numbers: Range) -> float:
        """The same number, or one that is larger or smaller by the factor."""
        number = self._decided[name]
        if name not in self._changeable:
            return number
        return numbers.clip(number * self._factor if self._goes_up() else number / self._factor)

    def _goes_up(self) -> bool:
        return bool(self._random.random() < 0.5)
