"""Adam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


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

    def coefficients(step: Step) -> tuple[Array, ...]:
        t, eta = step.number, learning_rate * step.factor
        return eta / (1 - beta1**t), beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**t), epsilon

    return Optimizer(zeros("m", "v"), stepping(rule, coefficients, "m", "v"))


@elementwise("W", "m", "v")
def rule(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    eta: Array,
    beta1: Array,
    rest1: Array,
    beta2: Array,
    rest2: Array,
    correction: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest = 1 - beta, correction = 1 / (1 - beta2^t), and m's is in eta."""
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    return W - eta * (m / (np.sqrt(correction * v) + epsilon)), m, v
