"""What a search is: settings that start a sampler. A sampler is asked for trials and told their scores."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import PlainValidator

from pipeline.components.resolver import build_settings_object, settings_class
from pipeline.search.space import TrialSpace
from pipeline.search.trial import Trial


class TrainRequest(NamedTuple):
    """Train a trial's networks up to the epoch `until`.

    Parameters
    ----------
    trial : Trial
    until : int
    origin : str or None, default None
        Key of the trial from whose networks they continue, as these are now. None: they continue from where they are,
        or from their initial weights.
    validation_rows : int or None, default None
        Train the networks of as many of the first folds only as have together at least so many validation rows; a later
        request may have more. None: those of all folds.
    teraflops : float or None, default None
        Leave the trial out if training these networks for all epochs takes more arithmetic in matrix products, unless
        it is the one of its rung that takes least. What is left out scores inf.
    """

    trial: Trial
    until: int
    origin: str | None = None
    validation_rows: int | None = None
    teraflops: float | None = None


class Sampler(Protocol):
    """A search that has begun. Equal scores lead to equal trials, whatever the number of workers.

    A sampler asks for each trial once: what is suggested again is not trained again.

    Attributes
    ----------
    n_repeated : int
        How many suggestions were equal to an earlier one.
    designed_trials : tuple of str
        Keys of the trials, among those asked for up to now, that make a designed comparison: which they are does not
        depend on their scores, and all are trained on the same rows. () if there are none.
    comparison_pending : bool
        Whether optimizers and regularizers are still to be compared by design, by trials that come later.
    """

    n_repeated: int
    designed_trials: tuple[str, ...]
    comparison_pending: bool

    def ask(self) -> list[TrainRequest]:
        """The requests of the current rung, which do not depend on each other; [] at the end of the search.

        Until `tell`, further calls return the same requests.
        """

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """Go on to the next rung.

        Parameters
        ----------
        scores : mapping of str to tuple of float
            By trial key, for every request of the last `ask`, a score for each objective. Smaller is better; inf for a
            trial that diverged.
        """


@runtime_checkable
class Search(Protocol):
    """Which trials to train, and for how long."""

    def begin(self, space: TrialSpace, epochs: int, n_objectives: int) -> Sampler:
        """Start a sampler.

        Parameters
        ----------
        space : TrialSpace
        epochs : int, > 0
            The last epoch of a trial that is not pruned.
        n_objectives : int, > 0

        Raises
        ------
        ValueError
            Naming a setting of the search that does not go together with these.
        """


@runtime_checkable
class EnumerableSearch(Protocol):
    """A search that lists its trials in advance, without any score."""

    def list_trials(self, space: TrialSpace) -> list[Trial]:
        """All its trials, numbered from 0."""


class SingleRungSampler:
    """Asks once, for the distinct ones of trials that are known in advance, to the last epoch."""

    def __init__(self, trials: list[Trial], epochs: int) -> None:
        self._requests = [TrainRequest(trial, epochs) for trial in distinct(trials)]
        self.n_repeated = len(trials) - len(self._requests)
        self.designed_trials = tuple(request.trial.key for request in self._requests)
        self.comparison_pending = False

    def ask(self) -> list[TrainRequest]:
        """See `Sampler`."""
        return self._requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """End the search: nothing depends on the scores."""
        self._requests = []


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """The trials without those that equal an earlier one, numbered from 0."""
    firsts: dict[tuple[object, ...], Trial] = {}
    for trial in trials:
        firsts.setdefault(trial.identity, trial)
    return [replace(trial, number=number) for number, trial in enumerate(firsts.values())]


def require_one_objective(search: str, n_objectives: int) -> None:
    """Raise ValueError if trials have several scores, for a search that ranks them by one."""
    if n_objectives != 1:
        cure = "use select.tradeoffs=[], or search=tpe, random or grid"
        raise ValueError(f"search={search} ranks trials by one metric, but there are {n_objectives}; {cure}")


def _candidates(node: Any) -> EnumerableSearch:
    """The search that a node of the configuration describes, whose trials are known in advance."""
    if isinstance(node, EnumerableSearch):
        return node
    rule = "must be a mapping with the _target_ of a search that lists its trials in advance: grid, random or sobol"
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"{rule}; but is {node!r}")
    target = str(node["_target_"])
    if not issubclass(settings_class(target), EnumerableSearch):
        raise ValueError(f"{rule}; but is {target}")
    search: EnumerableSearch = build_settings_object(node)
    return search


EnumerableSearchSetting = Annotated[EnumerableSearch, PlainValidator(_candidates)]
