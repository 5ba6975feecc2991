"""Searches that learn from the scores where to look next: Optuna's samplers, asked for batches."""

from collections.abc import Mapping
from importlib.util import find_spec
from math import inf, isfinite
from typing import Annotated, Any

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.random_streams import generator
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.search.base import Sampler, TrainRequest, require_one_objective
from pipeline.search.grammar import Range
from pipeline.search.space import TrialSpace


@dataclass(frozen=True, config=STRICT)
class Tpe:
    """Tree-structured Parzen estimator: trials from where good ones are dense and bad ones are not.

    Parameters
    ----------
    trials : int, > 0
        Suggestions in all; the first 10 are random. What is suggested again is not trained again.
    batch_size : int, > 0
        Trials that are asked for before their scores are told; while they are trained they count as bad.
    seed : int, >= 0

    References
    ----------
    Bergstra et al. (2011), NeurIPS 24; for several objectives Ozaki et al. (2022), JAIR 73; Optuna's TPESampler.
    """

    trials: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        import optuna  # not at the top, here and below: it takes half a second

        return OptunaSampler(self, optuna.samplers.TPESampler(seed=_seed(self.seed)), space, epochs, n_objectives)


@dataclass(frozen=True, config=STRICT)
class GaussianProcess:
    """Bayesian optimization: trials with the largest expected improvement under a Gaussian process.

    Parameters
    ----------
    trials : int, > 0
        Suggestions in all; the first 10 are random. What is suggested again is not trained again.
    batch_size : int, > 0
        Trials that are asked for before their scores are told.
    seed : int, >= 0

    Notes
    -----
    The model has the decisions of every trial as inputs; those inside a branch are drawn at random.

    References
    ----------
    Optuna's GPSampler.
    """

    trials: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        if find_spec("torch") is None:
            raise ValueError("search=gaussian_process needs PyTorch: pip install 'nnsweep[gp]'")
        import optuna

        sampler = optuna.samplers.GPSampler(seed=_seed(self.seed), warn_independent_sampling=False)
        return OptunaSampler(self, sampler, space, epochs, n_objectives)


@dataclass(frozen=True, config=STRICT)
class CmaEs:
    """CMA-ES: trials from a normal distribution that moves and stretches towards good ones.

    Parameters
    ----------
    trials : int, > 0
        In all.
    batch_size : int, >= 4
        Trials of one generation; the first generation is random.
    seed : int, >= 0

    Notes
    -----
    The distribution is over the ranges of every trial, of which there must be two; the rest is drawn at random.

    References
    ----------
    Hansen (2016), arXiv:1604.00772; Optuna's CmaEsSampler.
    """

    trials: PositiveInt
    batch_size: Annotated[int, Strict(), Field(ge=4)]
    seed: NonNegativeInt

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """See `Search`."""
        require_one_objective("cma_es", n_objectives)
        ranges = [name for name, leaf in space.unconditional.items() if isinstance(leaf, Range)]
        if len(ranges) < 2:
            rule = "search=cma_es needs two ranges or more (low, high) that every trial has"
            raise ValueError(f"{rule}, but the space has {', '.join(ranges) or 'none'}; use tpe or random")
        import optuna

        sampler = optuna.samplers.CmaEsSampler(
            seed=_seed(self.seed), popsize=self.batch_size, warn_independent_sampling=False
        )
        return OptunaSampler(self, sampler, space, epochs, n_objectives)


def _seed(seed: int) -> int:
    """A seed for NumPy's older generators, which Optuna uses."""
    return int(generator(seed, "optuna").integers(2**32))


class OptunaSampler:
    """An Optuna study in memory: the same scores in the same batches lead to the same trials.

    What Optuna suggests again is told the scores of the trial that it equals.
    """

    def __init__(
        self, settings: Tpe | GaussianProcess | CmaEs, sampler: Any, space: TrialSpace, epochs: int, n_objectives: int
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler)
        self._settings, self._space, self._epochs = settings, space, epochs
        self._keys: dict[tuple[object, ...], str] = {}  # by identity, of all trials
        self._scores: dict[str, tuple[float, ...]] = {}  # by key
        self._asked: list[tuple[optuna.Trial, str]] = []  # suggestions of this rung, and the keys of their trials
        self._requests: list[TrainRequest] = []
        self._n_asked = self.n_repeated = 0
        self.designed_trials: tuple[str, ...] = ()  # most are chosen by the scores of those before
        self.comparison_pending = False
        self._worst = [-inf] * n_objectives  # by objective, of trials that did not diverge

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        while not self._requests and self._n_asked < self._settings.trials:
            end = min(self._n_asked + self._settings.batch_size, self._settings.trials)
            for _ in range(self._n_asked, end):
                optuna_trial = self._study.ask()
                trial = self._space.suggest(len(self._keys), OptunaSuggester(optuna_trial))
                if trial.identity in self._keys:
                    self.n_repeated += 1
                else:
                    self._keys[trial.identity] = trial.key
                    self._requests.append(TrainRequest(trial, self._epochs))
                self._asked.append((optuna_trial, self._keys[trial.identity]))
            self._n_asked = end
            if not self._requests:
                self._tell_study()
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """Tell the study. A diverged trial counts as the worst so far: a failure would teach the model nothing."""
        self._scores |= scores
        self._tell_study()
        self._requests = []

    def _tell_study(self) -> None:
        import optuna

        rung = [self._scores[key] for _, key in self._asked]
        finite = [scores for scores in rung if all(map(isfinite, scores))]
        self._worst = [max(column) for column in zip(self._worst, *finite, strict=True)]
        for (optuna_trial, _), scores in zip(self._asked, rung, strict=True):
            values = scores if all(map(isfinite, scores)) else self._worst
            if all(map(isfinite, values)):
                self._study.tell(optuna_trial, list(values))
            else:
                self._study.tell(optuna_trial, state=optuna.trial.TrialState.FAIL)
        self._asked = []


class OptunaSuggester:
    """Chooses what Optuna suggests."""

    def __init__(self, trial: Any) -> None:
        self._trial = trial

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        return self._trial.suggest_categorical(name, range(n))

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        log = numbers.scale == "log"
        if numbers.integer:
            return self._trial.suggest_int(name, int(numbers.low), int(numbers.high), log=log)
        return numbers.clip(self._trial.suggest_float(name, numbers.low, numbers.high, log=log))
