"""Adadelta."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


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

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        u, v = state["u"], state["v"]
        square = np.multiply(g, g, out=step.scratch("square", W))
        update_mean(v, square, rho, square)
        d = np.add(u, column(epsilon, W), out=step.scratch("change", W))
        d /= np.add(v, column(epsilon, W), out=square)
        np.sqrt(d, out=d)
        d *= g
        update_mean(u, np.multiply(d, d, out=square), rho, square)
        d *= step.rate(learning_rate, W)
        W -= d

    return Optimizer(zeros("u", "v"), update)
