"""Adadelta."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def adadelta(learning_rate: ArrayLike = 1.0, rho: ArrayLike = 0.9, epsilon: ArrayLike = 1e-6) -> Optimizer:
    """Adadelta: steps in the unit of the parameter, from the ratio of recent changes to recent gradients.

        v <- rho v + (1 - rho) g^2                mean of squared gradients
        d = sqrt(u + epsilon) / sqrt(v + epsilon) g
        u <- rho u + (1 - rho) d^2                mean of squared changes
        W <- W - eta d

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - rho in float64, then cast
    Range    eta > 0 (1 in the paper);  0 <= rho < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Zeiler (2012), arXiv:1212.5701, Algorithm 1
    """
    learning_rate = checked("adadelta", "learning_rate", learning_rate, above=0)
    rho = checked("adadelta", "rho", rho, at_least=0, below=1)
    epsilon = checked("adadelta", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, rho, 1 - rho, epsilon

    return Optimizer(zeros("u", "v"), stepping(rule, coefficients, "u", "v"))


@elementwise("W", "u", "v")
def rule(
    W: Array, g: Array, u: Array, v: Array, *, eta: Array, rho: Array, rest: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest = 1 - rho."""
    v = rho * v + rest * (g * g)
    d = np.sqrt((u + epsilon) / (v + epsilon)) * g
    u = rho * u + rest * (d * d)
    return W - eta * d, u, v
