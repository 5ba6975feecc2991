"""AMSGrad."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


def amsgrad(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """AMSGrad: Adam, divided by the largest mean square so far, so that steps never grow again.

        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        u <- max(u, v)
        W <- W - eta (m / (1 - beta1^t)) / (sqrt(u / (1 - beta2^t)) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - beta^t in float64, then cast
    Range    eta > 0;  0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Reddi, Kale & Kumar (2018), arXiv:1904.09237, Algorithm 2
    Differs  from the paper: with Adam's bias corrections, as in torch
    """
    learning_rate = checked("amsgrad", "learning_rate", learning_rate, above=0)
    beta1 = checked("amsgrad", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("amsgrad", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("amsgrad", "epsilon", epsilon, above=0)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        m, v, u = state["m"], state["v"], state["u"]
        change = step.scratch("change", W)
        update_mean(m, g, beta1, change)
        update_mean(v, np.multiply(g, g, out=change), beta2, change)
        np.maximum(u, v, out=u)
        np.multiply(u, column(1 / (1 - beta2**step.number), W), out=change)
        np.sqrt(change, out=change)
        change += column(epsilon, W)
        np.divide(m, change, out=change)
        change *= step.rate(learning_rate / (1 - beta1**step.number), W)
        W -= change

    return Optimizer(zeros("m", "v", "u"), update)
