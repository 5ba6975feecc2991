"""What the pluggable stages are: settings that are called with one artefact and return the next."""

from collections.abc import Callable
from typing import Annotated, Any, Protocol, get_type_hints, runtime_checkable

from pydantic import AfterValidator

from pipeline.components.types import Dataset, Development, PreparedView, RawRows, Task, TaskSetting, Transform


@runtime_checkable
class Source(Protocol):
    """Where the rows come from; what is known of them before they are loaded."""

    @property
    def name(self) -> str:
        """For people, and for the run."""

    @property
    def address(self) -> str:
        """Where the rows are from, for people."""

    @property
    def task(self) -> TaskSetting:
        """What there is to predict, or auto if the rows will show it."""

    @property
    def n_columns(self) -> int | None:
        """How many columns a raw row has, all numbers; None if that is not known yet."""

    def check(self) -> None:
        """Raise SettingError if it is clear already that the rows cannot be loaded."""

    def content(self) -> str | None:
        """What the rows depend on besides these settings, such as a checksum of a file; None if that is not known.

        Raises   SettingError if it cannot be read
        """

    def __call__(self) -> Dataset:
        """Load all rows."""


@runtime_checkable
class Splitter(Protocol):
    """How rows are divided."""

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        """The development rows, and apart from them the test rows."""


@runtime_checkable
class Preprocessor(Protocol):
    """How raw rows become numbers to learn from."""

    @property
    def scale_targets(self) -> bool:
        """Whether a regression's targets are brought to a common scale."""

    def check(self, task: Task) -> None:
        """Raise ValueError if a task's rows cannot be prepared so."""

    def __call__(self, development: Development, fold: int) -> PreparedView:
        """Fit on the training rows of a fold, apply to both its parts."""


@runtime_checkable
class Reduction(Protocol):
    """How a view gets fewer columns."""

    def check(self, n_columns: int | None) -> None:
        """Raise ValueError if so many columns, where their number is known, cannot be reduced so."""

    @property
    def shared(self) -> "Reduction | None":
        """The reduction that is fitted; those with the same one share its fit. None: there is nothing to fit or do."""

    def fit(self, view: PreparedView) -> Transform:
        """Fit to the training rows."""

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """What this reduction takes of the fit of the shared one to this view."""

    def __call__(self, view: PreparedView) -> PreparedView:
        """Fit on the training rows, apply to both parts."""


def _like(kind: Any) -> Callable[[Any], Any]:
    """A check that settings are called as this kind is: isinstance alone takes whatever can be called."""

    def check(stage: Any) -> Any:
        if get_type_hints(type(stage).__call__) != get_type_hints(kind.__call__):
            raise ValueError(f"must be a {kind.__name__.lower()}, but {type(stage).__name__} is none")
        return stage

    return check


SourceSetting = Annotated[Source, AfterValidator(_like(Source))]
SplitterSetting = Annotated[Splitter, AfterValidator(_like(Splitter))]
PreprocessorSetting = Annotated[Preprocessor, AfterValidator(_like(Preprocessor))]
ReductionSetting = Annotated[Reduction, AfterValidator(_like(Reduction))]
