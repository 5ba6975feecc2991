"""Adamax."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def adamax(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """Adamax: Adam with the decayed maximum of gradients in place of their root mean square.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.999
        Decay of the mean of gradients and of their maximum.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the gradient's absolute value.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + epsilon);  W <- W - learning_rate / (1 - beta1^t) m / u.
    1 - beta1^t is computed in float64, then cast to the parameters' dtype. Unlike in the paper, epsilon keeps u above
    0, as in torch.

    References
    ----------
    Kingma & Ba (2014), arXiv:1412.6980, Algorithm 2.
    """
    learning_rate = checked("adamax", "learning_rate", learning_rate, above=0)
    beta1 = checked("adamax", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("adamax", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("adamax", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "corrected_rate": learning_rate * step.factor / (1 - beta1**step.number),
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "epsilon": epsilon,
        }

    return Optimizer(zeros("m", "u"), elementwise_update(adamax_update, coefficients), elementwise=True)


@elementwise("W", "m", "u")
def adamax_update(
    W: Array,
    g: Array,
    m: Array,
    u: Array,
    *,
    corrected_rate: Array,
    beta1: Array,
    one_minus_beta1: Array,
    beta2: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """Return one parameter, its mean and maximum after the step; the rate includes m's bias correction."""
    m = beta1 * m + one_minus_beta1 * g
    u = np.maximum(beta2 * u, np.abs(g) + epsilon)
    return W - corrected_rate * (m / u), m, u
