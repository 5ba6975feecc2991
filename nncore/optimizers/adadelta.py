"""Adadelta."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def adadelta(learning_rate: ArrayLike = 1.0, rho: ArrayLike = 0.9, epsilon: ArrayLike = 1e-6) -> Optimizer:
    """Adadelta: step sizes from the ratio of recent changes to recent gradients, in the unit of the parameter.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0, default 1 as in the paper
    rho : float or array (K,), in [0, 1), default 0.9
        Decay of both means.
    epsilon : float or array (K,), > 0, default 1e-6
        Added inside both roots.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    v <- rho v + (1 - rho) g^2 (mean of squared gradients);  d = sqrt(u + epsilon) / sqrt(v + epsilon) g;
    u <- rho u + (1 - rho) d^2 (mean of squared changes);  W <- W - learning_rate d.
    1 - rho is computed in float64, then cast to the parameters' dtype.

    References
    ----------
    Zeiler (2012), arXiv:1212.5701, Algorithm 1.
    """
    learning_rate = checked("adadelta", "learning_rate", learning_rate, above=0)
    rho = checked("adadelta", "rho", rho, at_least=0, below=1)
    epsilon = checked("adadelta", "epsilon", epsilon, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "learning_rate": learning_rate * step.factor,
            "rho": rho,
            "one_minus_rho": 1 - rho,
            "epsilon": epsilon,
        }

    return Optimizer(zeros("u", "v"), elementwise_update(adadelta_update, coefficients), elementwise=True)


@elementwise("W", "u", "v")
def adadelta_update(
    W: Array, g: Array, u: Array, v: Array, *, learning_rate: Array, rho: Array, one_minus_rho: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    """Return one parameter and its means after the step."""
    v = rho * v + one_minus_rho * (g * g)
    d = np.sqrt((u + epsilon) / (v + epsilon)) * g
    u = rho * u + one_minus_rho * (d * d)
    return W - learning_rate * d, u, v
