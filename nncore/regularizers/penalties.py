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
    """L1 penalty (lasso): pulls every weight to zero at the same rate, many of them all the way.

    Parameters
    ----------
    strength : float or array (K,), >= 0
    biases : bool, default False
        Whether biases, scales and shifts are penalised too.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    strength sum |W|;  derivative strength sign(W), with sign(0) = 0.

    References
    ----------
    Tibshirani (1996), "Regression shrinkage and selection via the lasso".
    """
    strength = checked("l1", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W)[:, 0] * np.abs(W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        l1_gradient(dW, W, strength=strength)

    return Penalty(value, add_gradient, biases)


def l2(strength: ArrayLike, biases: bool = False) -> Penalty:
    """L2 penalty (ridge): pulls every weight to zero in proportion to its size.

    Parameters
    ----------
    strength : float or array (K,), >= 0
    biases : bool, default False
        Whether biases, scales and shifts are penalised too.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    strength / 2 sum W^2;  derivative strength W.

    References
    ----------
    Hoerl & Kennard (1970), "Ridge regression".
    """
    strength = checked("l2", "strength", strength, at_least=0)

    def value(W: Array) -> Array:
        return column(strength, W)[:, 0] / 2 * (W * W).sum(axis=1)

    def add_gradient(W: Array, dW: Array) -> None:
        l2_gradient(dW, W, strength=strength)

    return Penalty(value, add_gradient, biases)


@elementwise("dW")
def l1_gradient(dW: Array, W: Array, *, strength: Array) -> Array:
    """Return the gradient by one weight, with the penalty's part added."""
    return dW + strength * np.sign(W)


@elementwise("dW")
def l2_gradient(dW: Array, W: Array, *, strength: Array) -> Array:
    """Return the gradient by one weight, with the penalty's part added."""
    return dW + strength * W


def elastic_net(strength: ArrayLike, l1_ratio: ArrayLike = 0.5, biases: bool = False) -> Penalty:
    """Elastic net: a mixture of the L1 and the L2 penalty.

    Parameters
    ----------
    strength : float or array (K,), >= 0
    l1_ratio : float or array (K,), in [0, 1], default 0.5
        Share of the L1 penalty.
    biases : bool, default False
        Whether biases, scales and shifts are penalised too.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    strength (l1_ratio sum |W| + (1 - l1_ratio) / 2 sum W^2);
    derivative strength (l1_ratio sign(W) + (1 - l1_ratio) W).

    References
    ----------
    Zou & Hastie (2005), "Regularization and variable selection via the elastic net".
    """
    strength = checked("elastic_net", "strength", strength, at_least=0)
    l1_ratio = checked("elastic_net", "l1_ratio", l1_ratio, at_least=0, at_most=1)
    l1_strength, l2_strength = strength * l1_ratio, strength * (1 - l1_ratio)
    l1_part, l2_part = l1(l1_strength), l2(l2_strength)

    def value(W: Array) -> Array:
        return l1_part.value(W) + l2_part.value(W)

    def add_gradient(W: Array, dW: Array) -> None:
        elastic_net_gradient(dW, W, l1_strength=l1_strength, l2_strength=l2_strength)

    return Penalty(value, add_gradient, biases)


@elementwise("dW")
def elastic_net_gradient(dW: Array, W: Array, *, l1_strength: Array, l2_strength: Array) -> Array:
    """Return the gradient by one weight, with the penalty's part added."""
    return dW + (l1_strength * np.sign(W) + l2_strength * W)
