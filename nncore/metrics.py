"""Scores of outputs z (K, N, O) against targets t (K or 1, N, O): one number per network, shape (K,)."""

from collections.abc import Callable

import numpy as np

from nncore.hyperparameters import Array

Metric = Callable[[Array, Array], Array]


def accuracy(z: Array, t: Array) -> Array:
    """Share of the rows whose most probable class is the target's, from 0 to 1.

    With one output, z > 0 says class 1 (probability above one half).
    """
    right = (z > 0) == (t > 0.5) if z.shape[2] == 1 else z.argmax(axis=2) == t.argmax(axis=2)
    return right.reshape(len(z), -1).mean(axis=1)


def r2(z: Array, t: Array) -> Array:
    """Coefficient of determination: 1 - (sum of squared errors) / (the same for the mean of t); at most 1.

    Raises   ValueError if t is constant
    """
    spread = ((t - t.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
    if not np.all(spread > 0):
        raise ValueError("r2 needs targets that differ")
    return np.asarray(1 - ((z - t) ** 2).sum(axis=(1, 2)) / spread)
