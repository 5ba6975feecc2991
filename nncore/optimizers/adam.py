"""Adam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


def adam(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """Adam: a step of size eta along the mean gradient, divided by its root mean square.

        m <- beta1 m + (1 - beta1) g              mean of gradients
        v <- beta2 v + (1 - beta2) g^2            mean of squared gradients
        W <- W - eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - beta^t in float64, then cast (float32 loses 1e-5 at t = 1)
    Range    eta > 0;  0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Kingma & Ba (2014), arXiv:1412.6980, Algorithm 1
    """
    learning_rate = checked("adam", "learning_rate", learning_rate, above=0)
    beta1 = checked("adam", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("adam", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("adam", "epsilon", epsilon, above=0)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        m, v = state["m"], state["v"]
        change = step.scratch("change", W)
        update_mean(m, g, beta1, change)
        update_mean(v, np.multiply(g, g, out=change), beta2, change)
        np.multiply(v, column(1 / (1 - beta2**step.number), W), out=change)
        np.sqrt(change, out=change)
        change += column(epsilon, W)
        np.divide(m, change, out=change)
        change *= step.rate(learning_rate / (1 - beta1**step.number), W)
        W -= change

    return Optimizer(zeros("m", "v"), update)
