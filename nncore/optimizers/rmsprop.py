"""RMSprop."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def rmsprop(learning_rate: ArrayLike, rho: ArrayLike = 0.99, epsilon: ArrayLike = 1e-8) -> Optimizer:
    """RMSprop: divide each parameter's step by the root mean square of its recent gradients.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    rho : float or array (K,), in [0, 1), default 0.99
        Decay of the mean of squared gradients.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the root.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    v <- rho v + (1 - rho) g^2 (mean of squared gradients);  W <- W - learning_rate g / (sqrt(v) + epsilon).
    1 - rho is computed in float64, then cast to the parameters' dtype.

    References
    ----------
    Tieleman & Hinton (2012), "Neural networks for machine learning", lecture 6.5.
    """
    learning_rate = checked("rmsprop", "learning_rate", learning_rate, above=0)
    rho = checked("rmsprop", "rho", rho, at_least=0, below=1)
    epsilon = checked("rmsprop", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "learning_rate": learning_rate * step.factor,
            "rho": rho,
            "one_minus_rho": 1 - rho,
            "epsilon": epsilon,
        }

    return Optimizer(zeros("v"), elementwise_update(rmsprop_update, coefficients), elementwise=True)


@elementwise("W", "v")
def rmsprop_update(
    W: Array, g: Array, v: Array, *, learning_rate: Array, rho: Array, one_minus_rho: Array, epsilon: Array
) -> tuple[Array, Array]:
    """Return one parameter and its mean of squared gradients after the step."""
    v = rho * v + one_minus_rho * (g * g)
    return W - learning_rate * (g / (np.sqrt(v) + epsilon)), v
