"""Random search and quasi-random search."""

import dataclasses
from collections.abc import Iterator
from math import ceil, log2

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import OneRung, Sampler
from pipeline.search.grammar import Range, Suggester
from pipeline.search.space import Space
from pipeline.search.trial import Trial

ATTEMPTS = 1000  # to draw a trial that was not drawn before


@dataclass(frozen=True, config=STRICT)
class Random:
    """Trials drawn independently, none twice; fewer than `trials` if no others can be found in a small space.

    What a trial is depends on the seed and its number, so that more trials begin with the same ones.

    Source   Bergstra & Bengio (2012), JMLR 13
    """

    trials: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        return OneRung(self.trials_of(space), epochs)

    def trials_of(self, space: Space) -> list[Trial]:
        """The trials, in the order in which they were drawn."""
        trials: dict[str, Trial] = {}
        while len(trials) < self.trials:
            drawn = (space.walk(len(trials), suggester) for suggester in self._attempts(len(trials)))
            new = next((trial for trial in drawn if str(trial.parameters) not in trials), None)
            if new is None:
                break
            trials[str(new.parameters)] = new
        return list(trials.values())

    def _attempts(self, number: int) -> Iterator[Suggester]:
        yield from (RandomSuggester(generator(self.seed, "search", number, attempt)) for attempt in range(ATTEMPTS))


@dataclasses.dataclass(frozen=True)
class RandomSuggester:
    """Decides at random: every branch, choice and part of a range is as likely as any other."""

    source: np.random.Generator

    def index(self, name: str, n: int) -> int:
        """See Suggester."""
        return int(self.source.integers(n))

    def number(self, name: str, numbers: Range) -> float:
        """See Suggester."""
        return numbers.at(float(self.source.random()))


@dataclass(frozen=True, config=STRICT)
class Sobol:
    """Trials that fill the space more evenly than random ones: a scrambled Sobol sequence, without repeats.

    It covers best if `trials` is a power of 2. More trials begin with the same ones.

    Source   Sobol (1967); Joe & Kuo (2008); Owen (1998), as in SciPy
    """

    trials: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        return OneRung(self.trials_of(space), epochs)

    def trials_of(self, space: Space) -> list[Trial]:
        """The trials, in the order of the sequence."""
        from scipy.stats import qmc  # not at the top: only this search needs it

        places = {name: place for place, name in enumerate(space.decisions)}
        sequence = qmc.Sobol(max(1, len(places)), rng=generator(self.seed, "sobol"))
        points = sequence.random_base2(ceil(log2(self.trials)))[: self.trials]  # (trials, decisions)
        trials: dict[str, Trial] = {}
        for point in points.tolist():
            trial = space.walk(len(trials), _Point(places, point))
            trials.setdefault(str(trial.parameters), trial)
        return list(trials.values())


@dataclasses.dataclass(frozen=True)
class _Point:
    """Decides by the coordinates of a point in the unit cube, one for each name."""

    places: dict[str, int]
    coordinates: list[float]

    def index(self, name: str, n: int) -> int:
        return int(self.coordinates[self.places[name]] * n)

    def number(self, name: str, numbers: Range) -> float:
        return numbers.at(self.coordinates[self.places[name]])
