"""Centred RMSprop."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


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

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        m, v = state["m"], state["v"]
        change = np.multiply(g, g, out=step.scratch("change", W))
        update_mean(v, change, rho, change)
        update_mean(m, g, rho, change)
        np.subtract(v, np.multiply(m, m, out=change), out=change)
        np.sqrt(np.maximum(change, 0, out=change), out=change)
        change += column(epsilon, W)
        np.divide(g, change, out=change)
        change *= step.rate(learning_rate, W)
        W -= change

    return Optimizer(zeros("m", "v"), update)
