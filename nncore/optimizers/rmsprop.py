"""RMSprop."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def rmsprop(learning_rate: ArrayLike, rho: ArrayLike = 0.99, epsilon: ArrayLike = 1e-8) -> Optimizer:
    """RMSprop: each parameter's step is divided by the root mean square of its recent gradients.

        v <- rho v + (1 - rho) g^2                mean of squared gradients
        W <- W - eta g / (sqrt(v) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - rho in float64, then cast
    Range    eta > 0;  0 <= rho < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Tieleman & Hinton (2012), "Neural networks for machine learning", lecture 6.5
    """
    learning_rate = checked("rmsprop", "learning_rate", learning_rate, above=0)
    rho = checked("rmsprop", "rho", rho, at_least=0, below=1)
    epsilon = checked("rmsprop", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, rho, 1 - rho, epsilon

    return Optimizer(zeros("v"), stepping(rule, coefficients, "v"))


@elementwise("W", "v")
def rule(W: Array, g: Array, v: Array, *, eta: Array, rho: Array, rest: Array, epsilon: Array) -> tuple[Array, Array]:
    """The step of one parameter; rest = 1 - rho."""
    v = rho * v + rest * (g * g)
    return W - eta * (g / (np.sqrt(v) + epsilon)), v
