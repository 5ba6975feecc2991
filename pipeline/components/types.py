"""What passes from stage to stage. Arrays travel by reference; the driver sees only `ViewShape` and the data card."""

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
    """Rows as they came.

    x         the raw columns
    y         classification: class labels (N,), texts or whole numbers; regression: values (N, T) in float64;
              multilabel: 0 or 1 (N, T) in float64
    weights   (N,) in float64, how much each row counts, or None if all count alike
    """

    x: Table
    y: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> "RawRows":
        """Some of the rows, a copy."""
        return RawRows(self.x[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def bare(self) -> "RawRows":
        """The rows without their columns, of which a copy may be large."""
        return replace(self, x=self.x.select_columns(slice(0, 0)))


@dataclass(frozen=True)
class Dataset:
    """All rows of one source.

    targets   the names of what is to be predicted; a single one for classification
    rows      to learn from, and to hold some of out for the test unless there is an official test part
    groups    (N,) whole numbers: rows with the same one are never divided; or None
    times     (N,), what says which rows are earlier; or None
    test      the source's official test part, if it has one
    """

    task: Task
    targets: tuple[str, ...]
    rows: RawRows
    groups: Array | None = None
    times: Array | None = None
    test: RawRows | None = None


class Fold(NamedTuple):
    """Row numbers of the development rows, rising: those to learn from, and those to choose by."""

    train: Array
    validation: Array


@dataclass(frozen=True)
class Development:
    """The rows that fitting and selection may see.

    labels   the classes, sorted; None where there are none
    folds    one or more ways to divide the rows
    """

    task: Task
    targets: tuple[str, ...]
    labels: Array | None
    rows: RawRows
    folds: tuple[Fold, ...]

    def part(self, fold: int) -> tuple[RawRows, RawRows]:
        """The training rows and the validation rows of a fold."""
        train, validation = self.folds[fold]
        return self.rows.take(train), self.rows.take(validation)


Transform = Pca | Autoencoder


@dataclass(frozen=True)
class PreparedView:
    """One fold as the networks see it, and the way that led there from raw rows."""

    preprocessing: Preprocessing
    transforms: tuple[Transform, ...]
    target_decoder: ClassDecoder | ValueDecoder | LabelDecoder
    data: Data


class ViewShape(NamedTuple):
    """What planning needs to know of a view."""

    n_inputs: int
    n_outputs: int
    n_train: int
    n_validation: int


def view_shape(view: PreparedView) -> ViewShape:
    """The sizes of a view."""
    train, validation = view.data
    return ViewShape(train.x.shape[1], train.t.shape[1], len(train.x), len(validation.x))


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
