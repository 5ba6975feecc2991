"""Adamax."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


def adamax(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """Adamax: Adam, divided by the (fading) largest gradient instead of the root mean square.

        m <- beta1 m + (1 - beta1) g
        u <- max(beta2 u, |g| + epsilon)
        W <- W - eta / (1 - beta1^t) m / u

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - beta1^t in float64, then cast
    Range    eta > 0;  0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Kingma & Ba (2014), arXiv:1412.6980, Algorithm 2
    Differs  from the paper: epsilon keeps u above 0, as in torch
    """
    learning_rate = checked("adamax", "learning_rate", learning_rate, above=0)
    beta1 = checked("adamax", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("adamax", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("adamax", "epsilon", epsilon, above=0)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        m, u = state["m"], state["u"]
        change = step.scratch("change", W)
        update_mean(m, g, beta1, change)
        np.abs(g, out=change)
        change += column(epsilon, W)
        u *= column(beta2, W)
        np.maximum(u, change, out=u)
        np.divide(m, u, out=change)
        change *= step.rate(learning_rate / (1 - beta1**step.number), W)
        W -= change

    return Optimizer(zeros("m", "u"), update)
