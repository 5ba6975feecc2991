"""Penalties on the weights W (never on the biases), added to the loss.

A member returns a `Regularizer`, two pure functions of the weights of each network, shape (K, weights):
`value(W)`, the penalty, shape (K,), and `add_gradient(W, dW)`, which adds its derivative to dW in place.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.hyperparameters import Array, checked, column


class Regularizer(NamedTuple):
    """A penalty, and what it adds to the gradient."""

    value: Callable[[Array], Array]
    add_gradient: Callable[[Array, Array], None]


def none() -> Regularizer:
    """No penalty."""
    return Regularizer(lambda W: np.zeros(len(W), W.dtype), lambda W, dW: None)


def l1(strength: ArrayLike) -> Regularizer:
    """strength * sum |W|: pulls every weight to zero at the same rate, many of them all the way.

    Derivative   strength * sign(W), with sign(0) = 0
    Range        strength >= 0
    Source       Tibshirani (1996), "Regression shrinkage and selection via the lasso"
    """
    strength = checked("l1", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W.dtype)[:, 0] * np.abs(W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        dW += column(strength, W.dtype) * np.sign(W)

    return Regularizer(value, add_gradient)


def l2(strength: ArrayLike) -> Regularizer:
    """strength / 2 * sum W^2: pulls every weight to zero in proportion to its size (ridge).

    Derivative   strength * W
    Range        strength >= 0
    Source       Hoerl & Kennard (1970), "Ridge regression"
    """
    strength = checked("l2", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W.dtype)[:, 0] / 2 * (W * W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        dW += column(strength, W.dtype) * W

    return Regularizer(value, add_gradient)


def elastic_net(strength: ArrayLike, l1_ratio: ArrayLike = 0.5) -> Regularizer:
    """strength * (l1_ratio * sum |W| + (1 - l1_ratio) / 2 * sum W^2): both pulls, mixed.

    Derivative   strength * (l1_ratio * sign(W) + (1 - l1_ratio) * W)
    Range        strength >= 0;  0 <= l1_ratio <= 1
    Source       Zou & Hastie (2005), "Regularization and variable selection via the elastic net"
    """
    strength = checked("elastic_net", "strength", strength, at_least=0)
    l1_ratio = checked("elastic_net", "l1_ratio", l1_ratio, at_least=0, at_most=1)
    lasso, ridge = l1(strength * l1_ratio), l2(strength * (1 - l1_ratio))

    def value(W: Array) -> Array:
        return lasso.value(W) + ridge.value(W)

    def add_gradient(W: Array, dW: Array) -> None:
        lasso.add_gradient(W, dW)
        ridge.add_gradient(W, dW)

    return Regularizer(value, add_gradient)
