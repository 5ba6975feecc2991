"""Strata: kinds of rows that every part of a split should have in proportion."""

import math

import numpy as np

from nncore.kernels.backend import Array
from pipeline.components.types import Task

TARGET_BINS = 10  # strata of a regression: bins of equal size between the lowest target and the highest


def strata(task: Task, y: Array, smallest: float) -> Array:
    """Number the stratum of each row.

    Parameters
    ----------
    task : Task
    y : array
        The targets, as in `RawRows`.
    smallest : float, in (0, 1)
        The smallest share of the rows that becomes a part. Strata other than classes are large enough that this part
        gets about two rows of each.

    Returns
    -------
    array of int, shape (N,)
        Classification: the class. Multilabel: the set of labels, rare sets merged. Regression: the tenth of the range
        of targets, by quantiles.
    """
    if task == "classification":
        return np.unique(y, return_inverse=True)[1]
    min_rows = max(TARGET_BINS, math.ceil(2 / smallest))
    return _label_sets(y, min_rows) if task == "multilabel" else _target_bins(y[:, 0], min_rows)


def _label_sets(y: Array, min_rows: int) -> Array:
    _, number, counts = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    rare = counts[number] < 2 * min_rows
    return np.where(rare, number[counts[number].argmax()] if rare.sum() < min_rows else -1, number)


def _target_bins(y: Array, min_rows: int) -> Array:
    """Bins between quantiles. A border is left out where equal targets leave too few rows on a side of it."""
    n_bins = max(1, min(TARGET_BINS, len(y) // min_rows))
    borders, last = [], 0
    for border in np.quantile(y, np.linspace(0, 1, n_bins + 1)[1:-1]):
        n_below = (y <= border).sum()
        if min(n_below - last, len(y) - n_below) >= min_rows // 2:
            borders.append(border)
            last = n_below
    return np.searchsorted(borders, y)
