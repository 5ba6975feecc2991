"""The protocols of the stages that a user can replace: settings that are called with one result and return the next."""

from collections.abc import Callable
from typing import Annotated, Any, Protocol, get_type_hints, runtime_checkable

from pydantic import AfterValidator

from pipeline.components.types import Dataset, Development, PreparedView, RawRows, Task, TaskSetting, Transform


@runtime_checkable
class Source(Protocol):
    """A source of rows, and what is known of the rows before they are loaded."""

    @property
    def name(self) -> str:
        """Name of the data, which is also the default name of the run."""

    @property
    def address(self) -> str:
        """Where the rows come from, for people."""

    @property
    def task(self) -> TaskSetting:
        """The task, or auto if the values of the targets decide."""

    @property
    def n_columns(self) -> int | None:
        """Number of columns if it is known already and all of them are numeric, else None."""

    def check(self) -> None:
        """Raise SettingError if it is already known that the rows cannot be loaded."""

    def content(self) -> str | None:
        """Identify what the rows depend on besides these settings, such as a file by its checksum.

        Returns
        -------
        str or None
            None if it is not known.

        Raises
        ------
        SettingError
            If the content cannot be read.
        """

    def __call__(self) -> Dataset:
        """Load all rows."""


@runtime_checkable
class Splitter(Protocol):
    """Divides rows into training, validation and test rows."""

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        """Return the development rows with their folds, and separately the test rows, of which there may be none."""


@runtime_checkable
class Preprocessor(Protocol):
    """Turns raw rows into arrays of numbers."""

    @property
    def scale_targets(self) -> bool:
        """Whether the targets of a regression are scaled."""

    def check(self, task: Task) -> None:
        """Raise ValueError if the rows of a task cannot be prepared with these settings."""

    def __call__(self, development: Development, fold: int) -> PreparedView:
        """Fit on the training rows of a fold, and apply to its training and validation rows."""


@runtime_checkable
class Reduction(Protocol):
    """Reduces the number of columns of a view."""

    def check(self, n_columns: int | None) -> None:
        """Raise ValueError if this number of columns, where it is known, cannot be reduced with these settings."""

    @property
    def shared(self) -> "Reduction | None":
        """The reduction that is fitted. Reductions with the same one share its fit; None if nothing is fitted."""

    def fit(self, view: PreparedView) -> Transform:
        """Fit to the training rows."""

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """The part of the shared reduction's fit that this reduction applies to a view."""

    def __call__(self, view: PreparedView) -> PreparedView:
        """Fit on the training rows, and apply to the training and validation rows."""


def _called_as(protocol: Any) -> Callable[[Any], Any]:
    """A check of the annotations of `__call__`, which isinstance does not compare."""

    def check(stage: Any) -> Any:
        if get_type_hints(type(stage).__call__) != get_type_hints(protocol.__call__):
            raise ValueError(
                f"{type(stage).__name__} is not a {protocol.__name__.lower()}: annotate its __call__ as "
                f"pipeline.components.protocols.{protocol.__name__} does"
            )
        return stage

    return check


SourceSetting = Annotated[Source, AfterValidator(_called_as(Source))]
SplitterSetting = Annotated[Splitter, AfterValidator(_called_as(Splitter))]
PreprocessorSetting = Annotated[Preprocessor, AfterValidator(_called_as(Preprocessor))]
ReductionSetting = Annotated[Reduction, AfterValidator(_called_as(Reduction))]
