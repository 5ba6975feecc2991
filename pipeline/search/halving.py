"""Successive halving and Hyperband: many trials for a few epochs, the best of them for more."""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Annotated, NamedTuple

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, PositiveInt
from pipeline.search.base import EnumerableSearchSetting, Sampler, TrainRequest, distinct, require_one_objective
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial

Factor = Annotated[int, Strict(), Field(ge=2)]


class Bracket(NamedTuple):
    """Trials that compete with each other.

    Parameters
    ----------
    trials : list of Trial
        Those that are left.
    rungs : list of (int, int)
        For each rung, how many of the best are trained, and to which epoch.
    """

    trials: list[Trial]
    rungs: list[tuple[int, int]]


@dataclass(frozen=True, config=STRICT)
class Halving:
    """Successive halving: at each rung keep the best 1/factor of the trials, and train them factor times longer.

    Parameters
    ----------
    candidates : search
        Lists the trials.
    factor : int, >= 2
    first : int, > 0
        Epoch of the first rung; the last rung is the last epoch.

    Notes
    -----
    Numbers of survivors are rounded up; the paper rounds them down.

    References
    ----------
    Jamieson & Talwalkar (2016), arXiv:1502.07943.
    """

    candidates: EnumerableSearchSetting
    factor: Factor
    first: PositiveInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        require_one_objective("halving", n_objectives)
        candidates, rungs = self.candidates.list_trials(space), rung_epochs(self.first, self.factor, epochs)
        trials = distinct(candidates)
        sizes = [len(trials)]
        while len(sizes) < len(rungs):
            sizes.append(ceil(sizes[-1] / self.factor))
        return HalvingSampler([Bracket(trials, list(zip(sizes, rungs, strict=True)))], len(candidates) - len(trials))


@dataclass(frozen=True, config=STRICT)
class Hyperband:
    """Hyperband: successive halving with several first rungs at once, because too early a rung may mislead.

    Parameters
    ----------
    candidates : search
        Lists the trials.
    factor : int, >= 2
    first : int, > 0
        Epoch of the first rung of the first bracket; the last rung of each bracket is the last epoch.

    Notes
    -----
    The bracket s = s_max, ..., 0 has s + 1 rungs and should have ceil((s_max + 1) / (s + 1) factor^s) trials. Any
    number of candidates is dealt out in this proportion, one by one to the bracket that is furthest behind, so that
    each gets some from all parts of a grid. All brackets advance together, unlike in the paper.

    References
    ----------
    Li et al. (2018), JMLR 18, Algorithm 1.
    """

    candidates: EnumerableSearchSetting
    factor: Factor
    first: PositiveInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        require_one_objective("hyperband", n_objectives)
        rungs = rung_epochs(self.first, self.factor, epochs)
        dealt: list[list[Trial]] = [[] for _ in rungs]
        wanted = [ceil(len(rungs) / (s + 1) * self.factor**s) for s in reversed(range(len(rungs)))]
        candidates = self.candidates.list_trials(space)
        distinct_trials = distinct(candidates)
        for trial in distinct_trials:
            behind = min(range(len(rungs)), key=lambda bracket: (len(dealt[bracket]) + 1) / wanted[bracket])
            dealt[behind].append(trial)
        brackets = []
        for skipped, trials in enumerate(dealt):
            sizes = [max(1, len(trials) // self.factor**rung) for rung in range(len(rungs) - skipped)]
            if trials:
                brackets.append(Bracket(trials, list(zip(sizes, rungs[skipped:], strict=True))))
        return HalvingSampler(brackets, len(candidates) - len(distinct_trials))


def rung_epochs(first: int, factor: int, epochs: int) -> list[int]:
    """The epochs of the rungs: first, first factor, ...; the last one that is not beyond `epochs` becomes `epochs`.

    Raises
    ------
    ValueError
        If the first is beyond `epochs`.

    Examples
    --------
    >>> rung_epochs(1, 3, 30)
    [1, 3, 9, 30]
    """
    if first > epochs:
        raise ValueError(f"search.first must be at most training.epochs, {epochs}, but is {first}")
    rungs = [first]
    while rungs[-1] * factor <= epochs:
        rungs.append(rungs[-1] * factor)
    return [*rungs[:-1], epochs]


class HalvingSampler:
    """Brackets that advance together, a rung at a time."""

    def __init__(self, brackets: list[Bracket], n_repeated: int) -> None:
        self._brackets, self.n_repeated = brackets, n_repeated
        self._rung = 0
        self.designed_trials: tuple[str, ...] = ()  # which are trained to the end depends on their scores
        self.comparison_pending = False

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        running = [bracket for bracket in self._brackets if self._rung < len(bracket.rungs)]
        return [TrainRequest(trial, bracket.rungs[self._rung][1]) for bracket in running for trial in bracket.trials]

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """Keep the best trials of each bracket. Diverged ones are dropped; of equals, the first is better."""
        self._rung += 1
        self._brackets = [
            Bracket(_best(trials, scores, rungs[self._rung][0]), rungs)
            for trials, rungs in self._brackets
            if self._rung < len(rungs)
        ]


def _best(trials: list[Trial], scores: Mapping[str, tuple[float, ...]], n: int) -> list[Trial]:
    """The best n that have not diverged, in the order of their numbers."""
    finite = [trial for trial in trials if isfinite(scores[trial.key][0])]
    best = sorted(finite, key=lambda trial: (scores[trial.key][0], trial.number))[:n]
    return sorted(best, key=lambda trial: trial.number)
