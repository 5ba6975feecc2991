"""Successive halving and Hyperband: many trials for a few epochs, the best of them for more."""

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Annotated, NamedTuple

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, PositiveInt
from pipeline.search.base import EnumerableSearchSetting, Sampler, TrainRequest, single_score
from pipeline.search.space import Space
from pipeline.search.trial import Trial

Factor = Annotated[int, Strict(), Field(ge=2)]


class Bracket(NamedTuple):
    """Trials, and by rung how many of the best are trained, and to which epoch."""

    trials: list[Trial]
    rungs: list[tuple[int, int]]


@dataclass(frozen=True, config=STRICT)
class Halving:
    """Successive halving: at each rung the best 1 of `factor` go on, for `factor` times as many epochs.

    candidates   the search that makes the trials
    factor       2 or more
    first        epochs of the first rung; the last rung is the last epoch

    Source   Jamieson & Talwalkar (2016), arXiv:1502.07943; shares are rounded up here
    """

    candidates: EnumerableSearchSetting
    factor: Factor
    first: PositiveInt

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        single_score("halving", n_objectives)
        trials, rungs = self.candidates.trials_of(space), rung_epochs(self.first, self.factor, epochs)
        sizes = [len(trials)]
        while len(sizes) < len(rungs):
            sizes.append(ceil(sizes[-1] / self.factor))
        return _Race([Bracket(trials, list(zip(sizes, rungs, strict=True)))])


@dataclass(frozen=True, config=STRICT)
class Hyperband:
    """Successive halving from several first rungs at once, because too early a rung may mislead.

    The bracket s = s_max, ..., 0 has s + 1 rungs and should have ceil((s_max + 1) / (s + 1) factor^s) trials. Any
    number of candidates is dealt out in this proportion, one by one to the bracket that is furthest behind, so that
    each gets some from all parts of a grid.

    candidates   the search that makes the trials
    factor       2 or more
    first        epochs of the first rung of the first bracket; the last rung of each is the last epoch

    Source   Li et al. (2018), JMLR 18, Algorithm 1; all brackets advance side by side here
    """

    candidates: EnumerableSearchSetting
    factor: Factor
    first: PositiveInt

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """See Search."""
        single_score("hyperband", n_objectives)
        rungs = rung_epochs(self.first, self.factor, epochs)
        hands: list[list[Trial]] = [[] for _ in rungs]
        wanted = [ceil(len(rungs) / (s + 1) * self.factor**s) for s in reversed(range(len(rungs)))]
        for trial in self.candidates.trials_of(space):
            behind = min(range(len(rungs)), key=lambda bracket: (len(hands[bracket]) + 1) / wanted[bracket])
            hands[behind].append(trial)
        return _Race([self._bracket(hand, rungs[skipped:]) for skipped, hand in enumerate(hands) if hand])

    def _bracket(self, hand: list[Trial], rungs: list[int]) -> Bracket:
        return Bracket(hand, [(max(1, len(hand) // self.factor**i), until) for i, until in enumerate(rungs)])


def rung_epochs(first: int, factor: int, epochs: int) -> list[int]:
    """The epochs of the rungs: first, first factor, ...; the last that is not beyond `epochs` becomes `epochs`."""
    if first > epochs:
        raise ValueError(f"search.first must be at most training.epochs, {epochs}, but is {first}")
    rungs = [first]
    while rungs[-1] * factor <= epochs:
        rungs.append(rungs[-1] * factor)
    return [*rungs[:-1], epochs]


class _Race:
    """Brackets that advance side by side, a rung at a time."""

    def __init__(self, brackets: list[Bracket]) -> None:
        self._brackets = brackets
        self._rung = 0

    def ask(self) -> list[TrainRequest]:
        """See Sampler."""
        running = [bracket for bracket in self._brackets if self._rung < len(bracket.rungs)]
        return [TrainRequest(trial, bracket.rungs[self._rung][1]) for bracket in running for trial in bracket.trials]

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """See Sampler. What diverged goes on nowhere; of equals, the first trial goes first."""
        self._rung += 1
        self._brackets = [
            Bracket(_best(trials, scores, rungs[self._rung][0]), rungs)
            for trials, rungs in self._brackets
            if self._rung < len(rungs)
        ]


def _best(trials: list[Trial], scores: Mapping[str, tuple[float, ...]], n: int) -> list[Trial]:
    """The best n that have not diverged, in the order of their numbers."""
    sound = [trial for trial in trials if isfinite(scores[trial.key][0])]
    best = sorted(sound, key=lambda trial: (scores[trial.key][0], trial.number))[:n]
    return sorted(best, key=lambda trial: trial.number)
