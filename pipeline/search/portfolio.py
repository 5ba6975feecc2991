"""Portfolio: recipes first, then the optimizers and regularizers around the best of them, then trials like the best."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite

from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import Sampler, TrainRequest, require_one_objective
from pipeline.search.grammar import Range
from pipeline.search.random_search import ATTEMPTS, RandomSuggester
from pipeline.search.recipes import Recipes
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial


@dataclass(frozen=True, config=STRICT)
class Portfolio:
    """Try recipes on few folds, the best on all; around the best, optimizers and regularizers; then random trials.

    Parameters
    ----------
    first_rows : int, > 0
        Recipes and random trials are tried first on as many folds as have together so many validation rows.
    keep : int, > 0
        Recipes that are trained on all folds, and around which random trials are drawn.
    trials : int, >= 0
        Random trials, in all.
    batch_size : int, > 0
        Random trials that are drawn at once; of each batch, those that are better than the worst recipe that was kept
        are trained on all folds.
    seed : int, >= 0

    Notes
    -----
    A recipe as it stands takes the first of its choices and the middle of its ranges.
    """

    first_rows: PositiveInt
    keep: PositiveInt
    trials: NonNegativeInt
    batch_size: PositiveInt
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
    """The rungs of a portfolio, one after the other."""

    def __init__(self, settings: Portfolio, space: Recipes, epochs: int) -> None:
        self._settings, self._space, self._epochs = settings, space, epochs
        self._trials: dict[tuple[object, ...], Trial] = {}  # by identity
        self._recipe_of: dict[str, str] = {}  # by key of the trial
        self._scores: dict[str, float] = {}  # by key, of the latest rung
        self.n_repeated = 0
        self.designed_trials: tuple[str, ...] = ()  # those of the block
        self._rungs = self._plan()
        self._requests = next(self._rungs, [])

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """See `Sampler`."""
        self._scores = {key: score for key, (score,) in scores.items()}
        self._requests = next(self._rungs, [])

    def _plan(self) -> Iterator[list[TrainRequest]]:
        """The rungs that are not empty; after each, `_scores` holds its scores."""
        recipes = [self._new(name, self._space.suggest_of(name, 0, MiddleSuggester())) for name in self._space.recipes]
        first = [trial for trial in recipes if trial]
        yield self._on_first_folds(first)
        kept = self._best(first)[: self._settings.keep]
        if not kept:
            return
        worst = self._scores[kept[-1].key]  # on the first folds, as those of the random trials
        yield self._on_all_folds(kept)
        best = self._best(kept)
        if not best:
            return
        yield from self._block(best[0])
        names = [self._recipe_of[trial.key] for trial in best]
        n_drawn = 0
        while n_drawn < self._settings.trials and (drawn := self._drawn(names, n_drawn)):
            n_drawn += len(drawn)
            yield self._on_first_folds(drawn)
            promising = [trial for trial in self._best(drawn) if self._scores[trial.key] < worst]
            if promising:
                yield self._on_all_folds(promising)

    def _block(self, best: Trial) -> Iterator[list[TrainRequest]]:
        """The rung of optimizers and regularizers around the best recipe, if it has a block."""
        name = self._recipe_of[best.key]
        trials = [self._new(name, trial) for trial in self._space.block(name, best)]
        if new := [trial for trial in trials if trial]:  # an equal earlier one was chosen by its scores
            self.designed_trials = tuple(trial.key for trial in new)
            yield self._on_all_folds(new)

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
