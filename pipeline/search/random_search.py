"""Random search and quasi-random search."""

import dataclasses
from math import ceil, log2

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import Sampler, SingleRungSampler
from pipeline.search.grammar import Range
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial

ATTEMPTS = 1000  # to draw a trial that was not drawn before


@dataclass(frozen=True, config=STRICT)
class Random:
    """Random search: trials drawn independently, none twice; fewer than `trials` if a small space has no others.

    Parameters
    ----------
    trials : int, > 0
    seed : int, >= 0

    Notes
    -----
    A trial depends on the seed and on its number only: a search with more trials begins with the same ones.

    References
    ----------
    Bergstra & Bengio (2012), JMLR 13.
    """

    trials: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        return SingleRungSampler(self.list_trials(space), epochs)

    def list_trials(self, space: TrialSpace) -> list[Trial]:
        """The trials, in the order in which they are drawn."""
        trials: dict[object, Trial] = {}
        while len(trials) < self.trials:
            for attempt in range(ATTEMPTS):
                random = generator(self.seed, "search", len(trials), attempt)
                trial = space.suggest(len(trials), RandomSuggester(random))
                if trial.identity not in trials:
                    trials[trial.identity] = trial
                    break
            else:
                break
        return list(trials.values())


@dataclasses.dataclass(frozen=True)
class RandomSuggester:
    """Chooses at random: all branches, all choices and all equal shares of a range are equally likely."""

    random: np.random.Generator

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        return int(self.random.integers(n))

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        return numbers.quantile(float(self.random.random()))


@dataclass(frozen=True, config=STRICT)
class Sobol:
    """Quasi-random search: a scrambled Sobol sequence, which fills the space more evenly than random trials.

    Parameters
    ----------
    trials : int, > 0
        Best a power of 2. Trials that occur twice are left out.
    seed : int, >= 0

    Notes
    -----
    A search with more trials begins with the same ones.

    References
    ----------
    Sobol (1967); Joe & Kuo (2008); Owen (1998), as in SciPy.
    """

    trials: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        return SingleRungSampler(self.list_trials(space), epochs)

    def list_trials(self, space: TrialSpace) -> list[Trial]:
        """The trials, in the order of the sequence."""
        from scipy.stats import qmc  # not at the top: only this search needs it

        axes = {name: axis for axis, name in enumerate(space.decisions)}
        sequence = qmc.Sobol(max(1, len(axes)), rng=generator(self.seed, "sobol"))
        points = sequence.random_base2(ceil(log2(self.trials)))[: self.trials]  # (trials, decisions)
        trials: dict[object, Trial] = {}
        for point in points.tolist():
            trial = space.suggest(len(trials), PointSuggester(axes, point))
            trials.setdefault(trial.identity, trial)
        return list(trials.values())


@dataclasses.dataclass(frozen=True)
class PointSuggester:
    """Chooses by the coordinates of a point in the unit cube.

    Parameters
    ----------
    axes : dict of str to int
        By the name of a decision, which coordinate is its own.
    coordinates : list of float in [0, 1)
    """

    axes: dict[str, int]
    coordinates: list[float]

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        return int(self.coordinates[self.axes[name]] * n)

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        return numbers.quantile(self.coordinates[self.axes[name]])
