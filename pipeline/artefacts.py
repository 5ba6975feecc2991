"""What passes from stage to stage. Arrays travel by reference; the driver sees only `Facts`."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from nncore.autoencoder import Autoencoder
from nncore.backend import Array
from nncore.model import Classes, Values
from nncore.pca import Pca
from nncore.scaling import Standardise
from nncore.training import Data

Task = Literal["classification", "regression"]


class RawRows(NamedTuple):
    """Rows as they came: x (N, I) in float64; y (N,), class labels or values."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Dataset:
    """All rows of one source, with the names of their columns."""

    task: Task
    columns: tuple[str, ...]
    rows: RawRows


@dataclass(frozen=True)
class Development:
    """The rows that fitting and selection may see; `labels` are the classes of the whole source, or None."""

    columns: tuple[str, ...]
    labels: Array | None
    train: RawRows
    validation: RawRows


@dataclass(frozen=True)
class View:
    """The development rows as the networks see them, and the way that led there from raw rows."""

    columns: tuple[str, ...]
    transforms: tuple[Standardise | Pca | Autoencoder, ...]
    meaning: Classes | Values
    data: Data


class Facts(NamedTuple):
    """What planning needs to know of a view."""

    n_inputs: int
    n_outputs: int
    n_train: int
    n_validation: int


def facts(view: View) -> Facts:
    """The sizes of a view."""
    train, validation = view.data
    return Facts(train.x.shape[1], train.t.shape[1], len(train.x), len(validation.x))
