"""Population-based training: hyperparameters change while their networks learn."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated

import numpy as np
from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import Sampler, TrainRequest, single_score
from pipeline.search.grammar import Choices, Range, Suggester
from pipeline.search.random_search import RandomSuggester
from pipeline.search.space import Space

Decisions = dict[str, float]  # by name, the index or the number that was chosen


@dataclass(frozen=True, config=STRICT)
class Population:
    """Population-based training: now and then the worst networks go on as copies of the best, a little changed.

    Only numbers of which each network has its own are changed, of optimizers and regularizers: those from a range are
    multiplied or divided by the factor, of listed ones a neighbour is taken. All else comes from the copied one.

    size     trials, drawn at random at the beginning
    every    epochs between two such changes
    share    which part of the population is replaced, and by which part; what has diverged is replaced besides
    factor   above 1; no number leaves its range

    Source   Jaderberg et al. (2017), arXiv:1711.09846: truncation selection, perturbation
    """

    size: Annotated[int, Strict(), Field(ge=2)]
    every: PositiveInt
    share: Annotated[float, Strict(), Field(gt=0, le=0.5)]
    factor: Annotated[float, Strict(), Field(gt=1)]
    seed: NonNegativeInt

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        single_score("population", n_objectives)
        if self.every >= epochs:
            raise ValueError(f"search.every must be below training.epochs, {epochs}, but is {self.every}")
        if not space.own:
            raise ValueError("search=population changes numbers of optimizers and regularizers, but space has none")
        return _Generations(self, space, epochs)


class _Generations:
    """The members of the population: each a trial, the decisions it was made by, and where its networks are from."""

    def __init__(self, settings: Population, space: Space, epochs: int) -> None:
        self._settings, self._space, self._epochs = settings, space, epochs
        self._until = settings.every
        drawn = [RandomSuggester(generator(settings.seed, "search", number, 0)) for number in range(settings.size)]
        self._made: list[Decisions] = [{} for _ in drawn]
        self._requests = [self._request(number, suggester, None) for number, suggester in enumerate(drawn)]

    def ask(self) -> list[TrainRequest]:
        """See Sampler."""
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """See Sampler."""
        ranked = sorted(
            range(len(self._requests)), key=lambda member: (scores[self._requests[member].trial.key][0], member)
        )
        sound = [member for member in ranked if isfinite(scores[self._requests[member].trial.key][0])]
        if self._until == self._epochs or not sound:
            self._requests = []
            return
        n = max(1, int(self._settings.share * self._settings.size))
        best, go_on = sound[:n], sound[: len(ranked) - n]
        before, self._until = self._until, min(self._until + self._settings.every, self._epochs)
        self._requests = [
            request._replace(until=self._until, origin=None) if member in go_on else self._copy(member, best, before)
            for member, request in enumerate(self._requests)
        ]

    def _copy(self, member: int, best: list[int], epoch: int) -> TrainRequest:
        """A copy of one of the best, changed."""
        draw = generator(self._settings.seed, "population", epoch, member)
        origin = best[int(draw.integers(len(best)))]
        change = _Change(self._made[origin], self._space.own, self._settings.factor, draw)
        return self._request(member, change, self._requests[origin].trial.key)

    def _request(self, member: int, suggester: Suggester, origin: str | None) -> TrainRequest:
        recorder = _Recorder(suggester)
        trial = self._space.walk(member, recorder)
        self._made[member] = recorder.made
        return TrainRequest(trial, self._until, origin)


class _Recorder:
    """Lets another chooser decide, and takes note."""

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self.made: Decisions = {}

    def index(self, name: str, n: int) -> int:
        chosen = self._suggester.index(name, n)
        self.made[name] = chosen
        return chosen

    def number(self, name: str, numbers: Range) -> float:
        self.made[name] = chosen = self._suggester.number(name, numbers)
        return chosen


class _Change:
    """Decides as was decided before, but moves own numbers up or down."""

    def __init__(
        self, made: Decisions, own: dict[str, Choices | Range], factor: float, draw: np.random.Generator
    ) -> None:
        self._made, self._own, self._factor, self._draw = made, own, factor, draw

    def index(self, name: str, n: int) -> int:
        at, own = int(self._made[name]), self._own.get(name)
        if not isinstance(own, Choices):
            return at
        order = sorted(range(n), key=own.values.__getitem__)
        place = order.index(at) + (1 if self._up() else -1)
        return order[min(max(place, 0), n - 1)]

    def number(self, name: str, numbers: Range) -> float:
        number = self._made[name]
        if name not in self._own:
            return number
        return numbers.clipped(number * self._factor if self._up() else number / self._factor)

    def _up(self) -> bool:
        return bool(self._draw.random() < 0.5)
