"""Adagrad."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, Step, stepping


def adagrad(learning_rate: ArrayLike, initial: ArrayLike = 0.0, epsilon: ArrayLike = 1e-10) -> Optimizer:
    """Adagrad: each parameter's step is divided by the root of all its squared gradients so far.

        s <- s + g^2                              s starts at `initial`
        W <- W - eta g / (sqrt(s) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Range    eta > 0;  initial >= 0;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Duchi, Hazan & Singer (2011), "Adaptive subgradient methods for online learning", figure 1
    """
    learning_rate = checked("adagrad", "learning_rate", learning_rate, above=0)
    initial = checked("adagrad", "initial", initial, at_least=0)
    epsilon = checked("adagrad", "epsilon", epsilon, above=0)

    def init(W: Array) -> State:
        return {"s": np.zeros_like(W) + column(initial, W)}

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, epsilon

    return Optimizer(init, stepping(rule, coefficients, "s"))


@elementwise("W", "s")
def rule(W: Array, g: Array, s: Array, *, eta: Array, epsilon: Array) -> tuple[Array, Array]:
    """The step of one parameter."""
    s = s + g * g
    return W - eta * (g / (np.sqrt(s) + epsilon)), s
