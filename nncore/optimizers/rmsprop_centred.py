"""Centred RMSprop."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def rmsprop_centred(learning_rate: ArrayLike, rho: ArrayLike = 0.99, epsilon: ArrayLike = 1e-8) -> Optimizer:
    """Centred RMSprop: divide each step by the standard deviation of recent gradients, not by their root mean square.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    rho : float or array (K,), in [0, 1), default 0.99
        Decay of both means.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the root.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    v <- rho v + (1 - rho) g^2 (mean of squared gradients);  m <- rho m + (1 - rho) g (mean of gradients);
    W <- W - learning_rate g / (sqrt(v - m^2) + epsilon).
    1 - rho is computed in float64, then cast to the parameters' dtype. Where a gradient stays the same for long, its
    deviation vanishes and the step grows to learning_rate g / epsilon. Rounding can make v - m^2 negative, which counts
    as 0. Unlike in the paper, epsilon stands outside the root, and there is no momentum.

    References
    ----------
    Graves (2013), arXiv:1308.0850, equations 38 to 41.
    """
    learning_rate = checked("rmsprop_centred", "learning_rate", learning_rate, above=0)
    rho = checked("rmsprop_centred", "rho", rho, at_least=0, below=1)
    epsilon = checked("rmsprop_centred", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "learning_rate": learning_rate * step.factor,
            "rho": rho,
            "one_minus_rho": 1 - rho,
            "epsilon": epsilon,
        }

    return Optimizer(zeros("m", "v"), elementwise_update(rmsprop_centred_update, coefficients), elementwise=True)


@elementwise("W", "m", "v")
def rmsprop_centred_update(
    W: Array, g: Array, m: Array, v: Array, *, learning_rate: Array, rho: Array, one_minus_rho: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    """Return one parameter and its means after the step."""
    m = rho * m + one_minus_rho * g
    v = rho * v + one_minus_rho * (g * g)
    return W - learning_rate * (g / (np.sqrt(np.maximum(v - m * m, 0)) + epsilon)), m, v
