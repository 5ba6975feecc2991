"""Penalties on the weights W, added to the loss."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.regularizers.base import Penalty


def none() -> Penalty:
    """No penalty."""
    return Penalty(lambda W: np.zeros_like(W, shape=len(W)), lambda W, dW: None)


def l1(strength: ArrayLike, biases: bool = False) -> Penalty:
    """strength * sum |W|: pulls every weight to zero at the same rate, many of them all the way.

    Derivative   strength * sign(W), with sign(0) = 0
    Range        strength >= 0;  biases: whether biases, scales and shifts are penalised too
    Source       Tibshirani (1996), "Regression shrinkage and selection via the lasso"
    """
    strength = checked("l1", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W)[:, 0] * np.abs(W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        l1_gradient(dW, W, strength=strength)

    return Penalty(value, add_gradient, biases)


def l2(strength: ArrayLike, biases: bool = False) -> Penalty:
    """strength / 2 * sum W^2: pulls every weight to zero in proportion to its size (ridge).

    Derivative   strength * W
    Range        strength >= 0;  biases: whether biases, scales and shifts are penalised too
    Source       Hoerl & Kennard (1970), "Ridge regression"
    """
    strength = checked("l2", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W)[:, 0] / 2 * (W * W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        l2_gradient(dW, W, strength=strength)

    return Penalty(value, add_gradient, biases)


@elementwise("dW")
def l1_gradient(dW: Array, W: Array, *, strength: Array) -> Array:
    """Of one weight."""
    return dW + strength * np.sign(W)


@elementwise("dW")
def l2_gradient(dW: Array, W: Array, *, strength: Array) -> Array:
    """Of one weight."""
    return dW + strength * W


def elastic_net(strength: ArrayLike, l1_ratio: ArrayLike = 0.5, biases: bool = False) -> Penalty:
    """strength * (l1_ratio * sum |W| + (1 - l1_ratio) / 2 * sum W^2): both pulls, mixed.

    Derivative   strength * (l1_ratio * sign(W) + (1 - l1_ratio) * W)
    Range        strength >= 0;  0 <= l1_ratio <= 1;  biases: whether biases, scales and shifts are penalised too
    Source       Zou & Hastie (2005), "Regularization and variable selection via the elastic net"
    """
    strength = checked("elastic_net", "strength", strength, at_least=0)
    l1_ratio = checked("elastic_net", "l1_ratio", l1_ratio, at_least=0, at_most=1)
    l1_strength, l2_strength = strength * l1_ratio, strength * (1 - l1_ratio)
    parts = l1(l1_strength), l2(l2_strength)

    def value(W: Array) -> Array:
        return parts[0].value(W) + parts[1].value(W)

    def add_gradient(W: Array, dW: Array) -> None:
        elastic_net_gradient(dW, W, l1_strength=l1_strength, l2_strength=l2_strength)

    return Penalty(value, add_gradient, biases)


@elementwise("dW")
def elastic_net_gradient(dW: Array, W: Array, *, l1_strength: Array, l2_strength: Array) -> Array:
    """Of one weight."""
    return dW + (l1_strength * np.sign(W) + l2_strength * W)
