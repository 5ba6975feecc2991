"""Adamax."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


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

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor / (1 - beta1**step.number), beta1, 1 - beta1, beta2, epsilon

    return Optimizer(zeros("m", "u"), stepping(rule, coefficients, "m", "u"))


@elementwise("W", "m", "u")
def rule(
    W: Array, g: Array, m: Array, u: Array, *, eta: Array, beta1: Array, rest1: Array, beta2: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest1 = 1 - beta1, and m's correction is in eta."""
    m = beta1 * m + rest1 * g
    u = np.maximum(beta2 * u, np.abs(g) + epsilon)
    return W - eta * (m / u), m, u
