"""Scores of answers y (K, N, O) against targets t (K or 1, N, O): one number per network, shape (K,).

Answers are what the loss makes of the outputs: probabilities or expected values. Weights (1, N), where rows
have some, have mean 1.
"""

from collections.abc import Callable

import numpy as np

from nncore.kernels.backend import Array

Metric = Callable[[Array, Array, Array | None], Array]


def accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of the rows whose most probable class is the target's, from 0 to 1.

    With one output, a probability above one half says class 1.
    """
    right = (y > 0.5) == (t > 0.5) if y.shape[2] == 1 else y.argmax(axis=2) == t.argmax(axis=2)
    right = right.reshape(len(y), -1)
    return right.mean(axis=1) if weights is None else (right * weights).mean(axis=1)


def subset_accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of the rows of which every label is right, from 0 to 1: a probability above one half says 1."""
    right = ((y > 0.5) == (t > 0.5)).all(axis=2)  # (K, N)
    return right.mean(axis=1) if weights is None else (right * weights).mean(axis=1)


def label_accuracy(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of all labels of all rows that are right, from 0 to 1; 1 less the Hamming loss."""
    right = ((y > 0.5) == (t > 0.5)).mean(axis=2)  # (K, N)
    return right.mean(axis=1) if weights is None else (right * weights).mean(axis=1)


def r2(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Coefficient of determination: 1 - (sum of squared errors) / (the same for the mean of t); at most 1.

    Raises   ValueError if t is constant
    """
    w = 1 if weights is None else weights[:, :, None]
    centre = (w * t).mean(axis=1, keepdims=True)
    spread = (w * (t - centre) ** 2).sum(axis=(1, 2))
    if not np.all(spread > 0):
        raise ValueError("r2 needs targets that differ")
    score: Array = 1 - (w * (y - t) ** 2).sum(axis=(1, 2)) / spread
    return score
