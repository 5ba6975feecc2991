"""Portfolio: recipes first, then the optimizers and regularizers around the best of them, then trials like the best."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from math import ceil, isfinite
from typing import Annotated

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveFloat, PositiveInt
from pipeline.search.base import Sampler, TrainRequest, require_one_objective
from pipeline.search.grammar import Range
from pipeline.search.random_search import ATTEMPTS, RandomSuggester
from pipeline.search.recipes import Recipes
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial

PositiveShare = Annotated[float, Strict(), Field(gt=0, le=1)]
Rungs = Generator[list[TrainRequest], None, list[Trial]]  # what is returned is the better half, best first


@dataclass(frozen=True, config=STRICT)
class Portfolio:
    """Try recipes on few folds, compare optimizers and regularizers around the best, train the best on all folds.

    Parameters
    ----------
    recipes : int or None, > 0
        Try so many of the space's recipes, the first ones; None: all.
    first_rows : int, > 0
        Recipes, blocks and random trials are tried first on as many folds as have together so many validation rows.
    first_epochs : float, > 0, <= 1
        The share of the epochs after which the better half of recipes and of random trials is chosen, which is trained
        for all epochs.
    keep : int, > 0
        Recipes that are trained on all folds, and around which random trials are drawn; and the most trials of the
        block that are trained on all folds, where they are better than the best recipe.
    trials : int, >= 0
        Random trials, in all.
    batch_size : int, > 0
        Random trials that are drawn at once; of each batch, those that are better than the worst recipe that was kept
        are trained on all folds.
    teraflops : float or None, > 0
        Leave out recipes and random trials whose matrix products take more arithmetic on the first folds, except for
        the cheapest if all do; None: leave out none.
    seed : int, >= 0

    Notes
    -----
    A recipe as it stands takes the first of its choices and the middle of its ranges.

    The block of the best recipe is trained for all epochs on the folds on which the recipes were tried, whatever it
    takes, so that its trials can be compared with each other.
    """

    recipes: PositiveInt | None
    first_rows: PositiveInt
    first_epochs: PositiveShare
    keep: PositiveInt
    trials: NonNegativeInt
    batch_size: PositiveInt
    teraflops: PositiveFloat | None
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        require_one_objective("portfolio", n_objectives)
        if not isinstance(space, Recipes):
            raise ValueError(
                "search=portfolio needs a space of recipes, such as space=portfolio; or choose search=grid"
            )
        return PortfolioSampler(self, space, epochs)


class MiddleSuggester:
    """Takes the first of branches and choices, and the middle of ranges."""

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        return 0

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        return numbers.quantile(0.5)


class PortfolioSampler:
    """The rungs of a portfolio, one after the other.

    A trial that may be trained further is in every rung until then: what a rung leaves out is pruned.

    Attributes
    ----------
    n_repeated : int
        See `Sampler`.
    designed_trials : tuple of str
        See `Sampler`: those of the block, which are trained on the first folds; some of them later on all.
    comparison_pending : bool
        See `Sampler`: whether the block is still to be trained.
    """

    def __init__(self, settings: Portfolio, space: Recipes, epochs: int) -> None:
        self._settings, self._space, self._epochs = settings, space, epochs
        self._trials: dict[tuple[object, ...], Trial] = {}  # by identity
        self._recipe_of: dict[str, str] = {}  # by key of the trial
        self._scores: dict[str, float] = {}  # by key, of the trial's latest rung
        self.n_repeated = 0
        self.designed_trials: tuple[str, ...] = ()
        self.comparison_pending = bool(space.blocks)
        self._rungs = self._plan()
        self._requests = next(self._rungs, [])

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """See `Sampler`."""
        self._scores |= {key: score for key, (score,) in scores.items()}
        self._requests = next(self._rungs, [])

    def _plan(self) -> Iterator[list[TrainRequest]]:
        """The rungs that are not empty; after each, `_scores` holds its scores."""
        settings, names = self._settings, list(self._space.recipes)[: self._settings.recipes]
        recipes = [self._new(name, self._space.suggest_of(name, 0, MiddleSuggester())) for name in names]
        tried = yield from self._tried([trial for trial in recipes if trial])
        if not tried:
            return
        block = self._block(tried[0])
        yield self._on_first_folds([*tried, *block])
        self.comparison_pending = False
        best, worst = self._scores[tried[0].key], self._scores[tried[: settings.keep][-1].key]
        better = [trial for trial in self._best(block) if self._scores[trial.key] < best]
        kept = [*tried[: settings.keep], *better[: settings.keep]]
        yield self._on_all_folds(kept)
        names = list(dict.fromkeys(self._recipe_of[trial.key] for trial in self._best(kept)))
        n_drawn = 0
        while n_drawn < settings.trials and names and (drawn := self._drawn(names, n_drawn)):
            n_drawn += len(drawn)
            tried = yield from self._tried(drawn)
            if promising := [trial for trial in tried if self._scores[trial.key] < worst]:
                yield self._on_all_folds(promising)

    def _tried(self, trials: list[Trial]) -> Rungs:
        """Train trials on the first folds, the better half of them for all epochs; return this half, best first."""
        first, limit = ceil(self._settings.first_epochs * self._epochs), self._settings.teraflops
        if trials:
            yield [TrainRequest(trial, first, None, self._settings.first_rows, limit) for trial in trials]
        if trials and first < self._epochs:
            trials = self._best(trials)[: max(self._settings.keep, ceil(len(trials) / 2))]
            if trials:
                yield self._on_first_folds(trials)
        return self._best(trials)

    def _block(self, best: Trial) -> list[Trial]:
        """The trials with the optimizers and regularizers that are compared around the best recipe."""
        name = self._recipe_of[best.key]
        trials = [self._new(name, trial) for trial in self._space.block(name, best)]
        block = [trial for trial in trials if trial]  # an equal earlier one was chosen by its scores
        self.designed_trials = tuple(trial.key for trial in block)
        return block

    def _drawn(self, names: list[str], n_drawn: int) -> list[Trial]:
        """New random trials of these recipes in turn, so many that a batch is full or none is left."""
        size, drawn = min(self._settings.batch_size, self._settings.trials - n_drawn), list[Trial]()
        for attempt in range(ATTEMPTS):
            if len(drawn) == size:
                break
            random = generator(self._settings.seed, "portfolio", n_drawn + len(drawn), attempt)
            name = names[(n_drawn + len(drawn)) % len(names)]
            trial = self._new(name, self._space.suggest_of(name, 0, RandomSuggester(random)))
            drawn += [trial] if trial else []
        return drawn

    def _new(self, name: str, trial: Trial) -> Trial | None:
        """The trial of a recipe with a number of its own; None if an equal one was there before."""
        if trial.identity in self._trials:
            self.n_repeated += 1
            return None
        numbered = self._trials[trial.identity] = replace(trial, number=len(self._trials))
        self._recipe_of[numbered.key] = name
        return numbered

    def _best(self, trials: list[Trial]) -> list[Trial]:
        """Those that have not diverged, best first; of equals, the first is better."""
        finite = [trial for trial in trials if isfinite(self._scores[trial.key])]
        return sorted(finite, key=lambda trial: (self._scores[trial.key], trial.number))

    def _on_first_folds(self, trials: list[Trial]) -> list[TrainRequest]:
        return [TrainRequest(trial, self._epochs, validation_rows=self._settings.first_rows) for trial in trials]

    def _on_all_folds(self, trials: list[Trial]) -> list[TrainRequest]:
        return [TrainRequest(trial, self._epochs) for trial in trials]
