"""The rows that networks are trained and validated on, and the batches of an epoch."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array, gather_rows
from nncore.kernels.workspace import Workspace

ViewRun = tuple[slice, int]  # adjacent networks that learn from one view, and the index of that view


class Rows(NamedTuple):
    """Examples, all of the architecture's dtype.

    Parameters
    ----------
    x : array (N, I)
        Inputs.
    t : array (N, O)
        Targets.
    weights : array (N,), >= 0, optional
        Weight of each row in the loss and in the metrics. Only their ratios matter. None: equal weights. Batch
        normalisation and mixup ignore the weights.
    """

    x: Array
    t: Array
    weights: Array | None = None


class Data(NamedTuple):
    """One view of the data: rows for training and rows for validation, never a test row.

    Another fold or another preparation of the data is another view, a `Data` of its own.
    """

    train: Rows
    validation: Rows


class Unit(Protocol):
    """The target's own unit, in which metrics are computed: networks often learn scaled or transformed targets.

    Both functions take arrays (K, N, O) of any number type and return float64 values, wherever these are. A
    nncore.inference.model.ValueDecoder is one.
    """

    def undo(self, t: Array) -> Array:
        """Return the values for which a network's targets t stand."""

    def predicted(self, prediction: Array) -> Array:
        """Return the values that are predicted, which may be bounded, for the loss's prediction."""


def check_views(views: Sequence[Data], architecture: Architecture) -> list[Data]:
    """Check that the views fit the architecture and each other, and normalise their weights.

    Parameters
    ----------
    views : sequence of Data
    architecture : Architecture

    Returns
    -------
    list of Data
        The same views. Weights, where there are any, have shape (1, N), the architecture's dtype and mean 1.

    Raises
    ------
    ValueError
        Naming the array, its shape and dtype, and what is required.
    """
    checked = [
        Data(_checked(view.train, "train", architecture), _checked(view.validation, "validation", architecture))
        for view in views
    ]
    for name, parts in zip(Data._fields, zip(*checked, strict=True), strict=True):
        if len({(len(rows.x), rows.weights is None) for rows in parts}) > 1:
            counts = [f"{len(rows.x)} {'without' if rows.weights is None else 'with'} weights" for rows in parts]
            raise ValueError(
                f"all views must have the same number of {name} rows, and all of them weights or none of them, "
                f"but they have {', '.join(counts)}"
            )
    return checked


def _checked(rows: Rows, name: str, architecture: Architecture) -> Rows:
    n_targets = architecture.layers[-1].outputs // architecture.functions.loss.outputs_per_target
    for letter, array, width in (("x", rows.x, architecture.inputs), ("t", rows.t, n_targets)):
        if array.shape != (len(rows.x), width) or len(array) < 1 or array.dtype != architecture.dtype:
            raise ValueError(
                f"{letter} of the {name} rows must be {architecture.dtype} of shape (N, {width}), with the same N >= 1 "
                f"for x and t, but is {array.dtype} of shape {array.shape}"
            )
    weights = rows.weights
    if weights is None:
        return rows
    if weights.shape != (len(rows.x),) or not (weights >= 0).all() or not 0 < float(weights.sum()) < np.inf:
        raise ValueError(f"weights of the {name} rows must be {len(rows.x)} finite numbers >= 0, not all of them 0")
    return rows._replace(weights=(weights / weights.mean()).astype(architecture.dtype)[None])


class Batches:
    """The batches of an epoch.

    Parameters
    ----------
    views : sequence of Rows
        Training rows of each view as `check_views` returns them, N in each.
    view_runs : sequence of (slice, int)
        Which networks learn from which view. A single run if `order` has shape (1, N).
    order : int array (K or 1, N)
        Permutation of the rows for each network, or one for all networks.
    batch_size : int
    workspace : Workspace
        Provides the memory of the batches.
    """

    def __init__(
        self,
        views: Sequence[Rows],
        view_runs: Sequence[ViewRun],
        order: Array,
        batch_size: int,
        workspace: Workspace,
    ) -> None:
        self._x = [rows.x for rows in views]
        self._t = [rows.t for rows in views]
        self._weights = [rows.weights[0] for rows in views if rows.weights is not None]
        self._view_runs, self._order, self._batch_size, self._workspace = view_runs, order, batch_size, workspace
        self._n_rows = order.shape[1]
        self.n = -(-self._n_rows // batch_size)

    def __getitem__(self, index: int) -> Rows:
        """Return a batch: x (K or 1, n, I), t (K or 1, n, O), weights (K or 1, n) or None. The next call reuses it."""
        rows = self._order[:, index * self._batch_size : (index + 1) * self._batch_size]  # (K or 1, n)
        weights = self._gather("weights", self._weights, rows) if self._weights else None
        return Rows(self._gather("x", self._x, rows), self._gather("t", self._t, rows), weights)

    def _gather(self, name: str, array_of_view: Sequence[Array], rows: Array) -> Array:
        out = self._workspace(("batch", name), array_of_view[0], (*rows.shape, *array_of_view[0].shape[1:]))
        for networks, view in self._view_runs:
            gather_rows(array_of_view[view], rows[networks], out[networks])
        return out

    def fraction(self, index: int) -> float:
        """Return the batch's share of all rows."""
        start = index * self._batch_size
        return (min(start + self._batch_size, self._n_rows) - start) / self._n_rows
