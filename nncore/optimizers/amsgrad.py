"""AMSGrad."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def amsgrad(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """AMSGrad: Adam divided by the largest mean of squared gradients so far, so that step sizes never grow again.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.999
        Decay of the mean of gradients and of squared gradients.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the root.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  u <- max(u, v);
    W <- W - learning_rate (m / (1 - beta1^t)) / (sqrt(u / (1 - beta2^t)) + epsilon).
    1 - beta^t is computed in float64, then cast to the parameters' dtype. Unlike in the paper, there are Adam's bias
    corrections, as in torch.

    References
    ----------
    Reddi, Kale & Kumar (2018), arXiv:1904.09237, Algorithm 2.
    """
    learning_rate = checked("amsgrad", "learning_rate", learning_rate, above=0)
    beta1 = checked("amsgrad", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("amsgrad", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("amsgrad", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "corrected_rate": learning_rate * step.factor / (1 - beta1**step.number),
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1 - beta2,
            "u_correction": 1 / (1 - beta2**step.number),
            "epsilon": epsilon,
        }

    return Optimizer(zeros("m", "v", "u"), elementwise_update(amsgrad_update, coefficients), elementwise=True)


@elementwise("W", "m", "v", "u")
def amsgrad_update(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    u: Array,
    *,
    corrected_rate: Array,
    beta1: Array,
    one_minus_beta1: Array,
    beta2: Array,
    one_minus_beta2: Array,
    u_correction: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array, Array]:
    """Return one parameter, its means and maximum after the step; the rate includes m's bias correction."""
    m = beta1 * m + one_minus_beta1 * g
    v = beta2 * v + one_minus_beta2 * (g * g)
    u = np.maximum(u, v)
    return W - corrected_rate * (m / (np.sqrt(u_correction * u) + epsilon)), m, v, u
