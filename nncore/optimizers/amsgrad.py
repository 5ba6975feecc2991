"""AMSGrad."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


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

    def coefficients(step: Step) -> tuple[Array, ...]:
        t, eta = step.number, learning_rate * step.factor
        return eta / (1 - beta1**t), beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**t), epsilon

    return Optimizer(zeros("m", "v", "u"), stepping(rule, coefficients, "m", "v", "u"))


@elementwise("W", "m", "v", "u")
def rule(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    u: Array,
    *,
    eta: Array,
    beta1: Array,
    rest1: Array,
    beta2: Array,
    rest2: Array,
    correction: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array, Array]:
    """The step of one parameter; rest = 1 - beta, correction = 1 / (1 - beta2^t), and m's is in eta."""
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    u = np.maximum(u, v)
    return W - eta * (m / (np.sqrt(correction * u) + epsilon)), m, v, u
