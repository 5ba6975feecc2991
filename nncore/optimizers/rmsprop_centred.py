"""Centred RMSprop."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def rmsprop_centred(learning_rate: ArrayLike, rho: ArrayLike = 0.99, epsilon: ArrayLike = 1e-8) -> Optimizer:
    """Centred RMSprop: divided by the standard deviation of the recent gradients, not by their root mean square.

        v <- rho v + (1 - rho) g^2                mean of squared gradients
        m <- rho m + (1 - rho) g                  mean of gradients
        W <- W - eta g / (sqrt(v - m^2) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - rho in float64, then cast
    Range    eta > 0;  0 <= rho < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Graves (2013), arXiv:1308.0850, equations 38 to 41
    Beware   where a gradient stays the same for long, its deviation vanishes and the step grows to eta g / epsilon
    Differs  from the paper: epsilon stands outside the root, and there is no momentum. Rounding can make
             v - m^2 negative, which counts as 0
    """
    learning_rate = checked("rmsprop_centred", "learning_rate", learning_rate, above=0)
    rho = checked("rmsprop_centred", "rho", rho, at_least=0, below=1)
    epsilon = checked("rmsprop_centred", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, rho, 1 - rho, epsilon

    return Optimizer(zeros("m", "v"), stepping(rule, coefficients, "m", "v"))


@elementwise("W", "m", "v")
def rule(
    W: Array, g: Array, m: Array, v: Array, *, eta: Array, rho: Array, rest: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest = 1 - rho."""
    m = rho * m + rest * g
    v = rho * v + rest * (g * g)
    return W - eta * (g / (np.sqrt(np.maximum(v - m * m, 0)) + epsilon)), m, v
