"""What a search is: settings, and what asks for trials and is told their scores. It owns no loop."""

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import PlainValidator, ValidationError

from pipeline.search.grammar import in_one_line
from pipeline.search.space import Space
from pipeline.search.trial import Trial


class TrainRequest(NamedTuple):
    """Train a trial's networks up to the epoch `until`.

    origin   key of the trial from whose networks, as they are now, they go on; None: from their own, or anew
    """

    trial: Trial
    until: int
    origin: str | None = None


class Sampler(Protocol):
    """A search under way. Equal scores lead to equal trials, whatever the number of workers."""

    def ask(self) -> list[TrainRequest]:
        """The legs up to the next rung, which do not depend on each other; [] when the search is over."""

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """By trial key, for every leg of the last ask, a score for each objective: small is good, inf diverged."""


@runtime_checkable
class Search(Protocol):
    """Which trials are run, and for how long."""

    def begin(self, space: Space, epochs: int, n_objectives: int) -> Sampler:
        """Start anew. Raises ValueError, naming the setting, if it does not go together with these."""


@runtime_checkable
class EnumerableSearch(Protocol):
    """A search that knows its trials without any score."""

    def trials_of(self, space: Space) -> list[Trial]:
        """All its trials, numbered from 0."""


class OneRung:
    """Asks once for trials that are known beforehand, to the last epoch."""

    def __init__(self, trials: list[Trial], epochs: int) -> None:
        self._requests = [TrainRequest(trial, epochs) for trial in trials]

    def ask(self) -> list[TrainRequest]:
        """See Sampler."""
        requests, self._requests = self._requests, []
        return requests

    def tell(self, scores: Mapping[str, tuple[float, ...]]) -> None:
        """See Sampler; nothing depends on them."""


def single_score(search: str, n_objectives: int) -> None:
    """Raise ValueError if trials have several scores, for a search that ranks them by one."""
    if n_objectives != 1:
        cure = "use select.tradeoffs=[], or search=tpe, random or grid"
        raise ValueError(f"search={search} ranks trials by one metric, but there are {n_objectives}; {cure}")


def _candidates(node: Any) -> EnumerableSearch:
    """The search that a node describes: a class of pipeline.search whose trials are known beforehand."""
    if isinstance(node, EnumerableSearch):
        return node
    target = str(node.get("_target_")) if isinstance(node, dict) else repr(node)
    rule = "must be a mapping with the _target_ of a search that knows its trials beforehand: grid, random or sobol"
    module, _, name = target.rpartition(".")
    if not module.startswith("pipeline.search.") or not module.replace(".", "").isidentifier():
        raise ValueError(f"{rule}; but is {target}")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(f"{rule}; there is no {target}") from None
    if not isinstance(cls, type) or not hasattr(cls, "__pydantic_config__") or not hasattr(cls, "trials_of"):
        raise ValueError(f"{rule}; but is {target}")
    try:
        made: EnumerableSearch = cls(**{key: value for key, value in node.items() if key != "_target_"})
    except ValidationError as error:
        raise ValueError(in_one_line(error)) from None
    return made


EnumerableSearchSetting = Annotated[EnumerableSearch, PlainValidator(_candidates)]
