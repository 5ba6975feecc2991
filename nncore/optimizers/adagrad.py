"""Adagrad."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, Step, elementwise_update


def adagrad(learning_rate: ArrayLike, initial: ArrayLike = 0.0, epsilon: ArrayLike = 1e-10) -> Optimizer:
    """Adagrad: divide each parameter's step by the root of the sum of all its squared gradients.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    initial : float or array (K,), >= 0, default 0
        Value with which the sum of squared gradients starts.
    epsilon : float or array (K,), > 0, default 1e-10
        Added to the root.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    s <- s + g^2, from `initial`;  W <- W - learning_rate g / (sqrt(s) + epsilon)

    References
    ----------
    Duchi, Hazan & Singer (2011), "Adaptive subgradient methods for online learning", figure 1.
    """
    learning_rate = checked("adagrad", "learning_rate", learning_rate, above=0)
    initial = checked("adagrad", "initial", initial, at_least=0)
    epsilon = checked("adagrad", "epsilon", epsilon, above=0)

    def init(W: Array) -> State:
        return {"s": np.zeros_like(W) + column(initial, W)}

    def coefficients(step: Step) -> dict[str, Array]:
        return {"learning_rate": learning_rate * step.factor, "epsilon": epsilon}

    return Optimizer(init, elementwise_update(adagrad_update, coefficients), elementwise=True)


@elementwise("W", "s")
def adagrad_update(W: Array, g: Array, s: Array, *, learning_rate: Array, epsilon: Array) -> tuple[Array, Array]:
    """Return one parameter and its sum of squared gradients after the step."""
    s = s + g * g
    return W - learning_rate * (g / (np.sqrt(s) + epsilon)), s
