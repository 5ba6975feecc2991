"""Strata: kinds of rows of which every part of a split should have its share."""

import math

import numpy as np

from nncore.kernels.backend import Array
from pipeline.components.types import Dataset

TARGET_BINS = 10  # strata of a regression: so many parts of equal size, from the lowest target to the highest


def strata(dataset: Dataset, smallest: float) -> Array:
    """(N,) whole numbers: the class; the set of labels, rare ones together; or in which tenth the target lies.

    Apart from classes, a stratum has so many rows that even the smallest share gets about two of them.
    """
    y = dataset.rows.y
    if dataset.task == "classification":
        return np.unique(y, return_inverse=True)[1]
    fewest = max(TARGET_BINS, math.ceil(2 / smallest))
    return _label_sets(y, fewest) if dataset.task == "multilabel" else _target_bins(y[:, 0], fewest)


def _label_sets(y: Array, fewest: int) -> Array:
    _, number, counts = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    number = number.reshape(-1)
    rare = counts[number] < 2 * fewest
    return np.where(rare, number[counts[number].argmax()] if rare.sum() < fewest else -1, number)


def _target_bins(y: Array, fewest: int) -> Array:
    """Bins between quantiles; where many targets are equal, a border that leaves too few rows is left out."""
    n_bins = max(1, min(TARGET_BINS, len(y) // fewest))
    borders, last = [], 0
    for border in np.quantile(y, np.linspace(0, 1, n_bins + 1)[1:-1]):
        n_below = (y <= border).sum()
        if min(n_below - last, len(y) - n_below) >= fewest // 2:
            borders.append(border)
            last = n_below
    return np.searchsorted(borders, y)


def layers_to_divide(dataset: Dataset, rows: Array, smallest: float) -> Array:
    """The strata of some rows, each class with two rows or more."""
    layers = strata(dataset, smallest)[rows]
    numbers, counts = np.unique(layers, return_counts=True)
    if dataset.task == "classification" and counts.min() < 2:
        single = rows[layers == numbers[counts.argmin()]][0]
        raise ValueError(f"class {dataset.rows.y[single]} has only 1 row to divide; leave it out, or add rows")
    return layers
