"""What one stage passes to the next. Arrays are passed by reference; the driver holds `ViewShape` and the data card."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from nncore.inference.model import ClassDecoder, LabelDecoder, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.table import Table
from nncore.kernels.backend import Array
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.stack.data import Data

Task = Literal["classification", "regression", "multilabel"]
TaskSetting = Task | Literal["auto"]  # auto: the values of the targets decide


@dataclass(frozen=True)
class RawRows:
    """Rows as they were loaded.

    Parameters
    ----------
    x : Table
        The raw columns.
    y : array
        Classification: class labels (N,), strings or integers; regression: values (N, T), float64; multilabel: 0 or 1
        (N, T), float64.
    weights : array (N,), float64, or None
        Weights of the rows; None if all are equal.
    """

    x: Table
    y: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> "RawRows":
        """A copy of some of the rows."""
        return RawRows(self.x[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def bare(self) -> "RawRows":
        """The rows without their columns, which may be large to copy."""
        return replace(self, x=self.x.select_columns(slice(0, 0)))


class RowsToPredict(NamedTuple):
    """Rows for which a finished model predicts.

    Attributes
    ----------
    table : Table
        The columns of the model.
    kept : dict of str to list
        By name, further columns that are written beside the predictions.
    targets : dict of str to array (N,)
        The model's targets as they are in the source; empty unless it has them all.
    weights : array (N,) or None
        Weights of the rows.
    obstacle : str
        Why the targets cannot be read, or "".
    """

    table: Table
    kept: dict[str, list[Any]]
    targets: dict[str, Array]
    weights: Array | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class Dataset:
    """All rows of a source.

    Parameters
    ----------
    task : Task
    targets : tuple of str
        Names of the targets; a single one for classification.
    rows : RawRows
        All rows but those of an official test part.
    groups : array (N,) of int, or None
        Rows of the same group are in the same part.
    times : array (N,) or None
        Their order is the order in time.
    test : RawRows or None
        The official test part of the source, if it has one.
    notes : tuple of str
        What was decided while reading that a person should know, such as columns that were left out.
    """

    task: Task
    targets: tuple[str, ...]
    rows: RawRows
    groups: Array | None = None
    times: Array | None = None
    test: RawRows | None = None
    notes: tuple[str, ...] = ()


class Fold(NamedTuple):
    """Indices of the development rows, ascending: the training rows and the validation rows."""

    train: Array
    validation: Array


@dataclass(frozen=True)
class Development:
    """All rows but the test rows: those that fitting and selection may use.

    Parameters
    ----------
    task : Task
    targets : tuple of str
        Names of the targets.
    labels : array or None
        The classes, sorted; None if the targets are not classes.
    rows : RawRows
    folds : tuple of Fold
        One or more ways to divide the rows.
    by_time : bool
        Whether the rows to predict are later than the training rows.
    """

    task: Task
    targets: tuple[str, ...]
    labels: Array | None
    rows: RawRows
    folds: tuple[Fold, ...]
    by_time: bool = False

    def part(self, fold: int) -> tuple[RawRows, RawRows]:
        """The training rows and the validation rows of a fold."""
        train, validation = self.folds[fold]
        return self.rows.take(train), self.rows.take(validation)


class DataWarning(NamedTuple):
    """What about the data should make a person look twice.

    Attributes
    ----------
    kind : str
        Such as "leak" or "identifier".
    columns : tuple of str
        The columns that it is about.
    text : str
        For people: the column, the fact with its number, and after a semicolon what can be done.
    """

    kind: str
    columns: tuple[str, ...]
    text: str


class SplitReport(NamedTuple):
    """What the driver is told of a split.

    Attributes
    ----------
    n_validation : tuple of int
        Validation rows of each fold.
    n_test : int
        Test rows; 0 if there are none.
    warnings : tuple of DataWarning
    """

    n_validation: tuple[int, ...]
    n_test: int
    warnings: tuple[DataWarning, ...]


Transform = Pca | Autoencoder


@dataclass(frozen=True)
class PreparedView:
    """One fold as networks are trained on it, and the transforms that lead there from raw rows."""

    preprocessing: Preprocessing
    transforms: tuple[Transform, ...]
    target_decoder: ClassDecoder | ValueDecoder | LabelDecoder
    data: Data


class ViewShape(NamedTuple):
    """The sizes of a view, which planning needs, and what a person should know of it.

    Parameters
    ----------
    n_inputs, n_outputs, n_train, n_validation : int
    constant_columns : tuple of str, default ()
        Names of raw columns that became constant.
    bounded : bool, default False
        Whether predictions are limited to the range of the training targets.
    n_numeric : int, default 0
        The first inputs that are numbers and not indicators or one-hot columns.
    levels : tuple of int, default ()
        The last inputs are integer codes of categories, with so many levels each.
    """

    n_inputs: int
    n_outputs: int
    n_train: int
    n_validation: int
    constant_columns: tuple[str, ...] = ()
    bounded: bool = False
    n_numeric: int = 0
    levels: tuple[int, ...] = ()


def view_shape(view: PreparedView) -> ViewShape:
    """The sizes of a view."""
    train, validation = view.data
    sizes = (train.x.shape[1], train.t.shape[1], len(train.x), len(validation.x))
    bounded = isinstance(view.target_decoder, ValueDecoder) and view.target_decoder.bounds is not None
    n_numeric = train.x.shape[1] if view.transforms else len(view.preprocessing.fill)
    return ViewShape(*sizes, view.preprocessing.constant_columns, bounded, n_numeric, view.preprocessing.levels)


class PreparedFold(NamedTuple):
    """One fold as networks learn from it, by reference.

    Parameters
    ----------
    data : Future of a PreparedView
    view_shape : ViewShape
    content_hash : str
        The same in every run with the same data, settings and code.
    """

    data: Any
    view_shape: ViewShape
    content_hash: str


DataCard = dict[str, Any]  # plain values, as pipeline/data/card.py makes them
