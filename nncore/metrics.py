"""Scores of predictions y (K, N, O) against targets t (K or 1, N, O): one number per network, shape (K,).

Predictions are probabilities or expected values, as `Loss.predict` returns them. Weights of rows (1, N), if any, have
mean 1.
"""

from collections.abc import Callable

import numpy as np

from nncore.kernels.backend import Array

Metric = Callable[[Array, Array, Array | None], Array]


def accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of rows whose most probable class is the target's, from 0 to 1.

    With one output, class 1 is predicted where its probability is above one half.
    """
    is_correct = (y > 0.5) == (t > 0.5) if y.shape[2] == 1 else y.argmax(axis=2) == t.argmax(axis=2)
    is_correct = is_correct.reshape(len(y), -1)
    return is_correct.mean(axis=1) if weights is None else (is_correct * weights).mean(axis=1)


def subset_accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of rows whose labels are all correct, from 0 to 1; a label is predicted above a probability of one half."""
    is_correct = ((y > 0.5) == (t > 0.5)).all(axis=2)  # (K, N)
    return is_correct.mean(axis=1) if weights is None else (is_correct * weights).mean(axis=1)


def label_accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of the labels of all rows that are correct, from 0 to 1; it is 1 minus the Hamming loss."""
    share = ((y > 0.5) == (t > 0.5)).mean(axis=2)  # (K, N)
    return share.mean(axis=1) if weights is None else (share * weights).mean(axis=1)


def r2(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Coefficient of determination: 1 - (sum of squared errors) / (the same for the mean of t); at most 1.

    Raises
    ------
    ValueError
        If t is constant.
    """
    w = 1 if weights is None else weights[:, :, None]
    centre = (w * t).mean(axis=1, keepdims=True)
    spread = (w * (t - centre) ** 2).sum(axis=(1, 2))
    if not np.all(spread > 0):
        raise ValueError("r2 needs targets that differ")
    score: Array = 1 - (w * (y - t) ** 2).sum(axis=(1, 2)) / spread
    return score
