"""RAdam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def radam(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """RAdam: Adam that divides by the root mean square only once it is a mean of enough gradients.

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
    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2.
    The number of gradients that v stands for is L = 2 / (1 - beta2) - 1 in the limit and
    l = L - 2 t beta2^t / (1 - beta2^t) at step t. The rectification is
    r = sqrt((l - 4) (l - 2) L / ((L - 4) (L - 2) l)), and

        W <- W - learning_rate r m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + epsilon)    if l > 5
        W <- W - learning_rate m / (1 - beta1^t)                                              otherwise

    The coefficients are computed in float64, then cast to the parameters' dtype. Unlike in the paper, where the bound
    is 4, v is used from l > 5, and there is an epsilon, as in torch.

    References
    ----------
    Liu et al. (2019), arXiv:1908.03265, Algorithm 2.
    """
    learning_rate = checked("radam", "learning_rate", learning_rate, above=0)
    beta1 = checked("radam", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("radam", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("radam", "epsilon", epsilon, above=0)

    def rectification(t: int) -> tuple[Array, Array]:
        """Whether v is used, and r sqrt(1 - beta2^t)."""
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * t * beta2**t / (1 - beta2**t)
        uses_v = length > 5
        length = np.where(uses_v, length, 6)  # any number that keeps the root real
        limit = np.where(uses_v, limit, 6)
        r = np.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
        return uses_v, r * np.sqrt(1 - beta2**t)

    def coefficients(step: Step) -> dict[str, Array]:
        uses_v, v_factor = rectification(step.number)
        return {
            "corrected_rate": learning_rate * step.factor / (1 - beta1**step.number),
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1 - beta2,
            "v_factor": v_factor,
            "uses_v": uses_v,
            "epsilon": epsilon,
        }

    return Optimizer(zeros("m", "v"), elementwise_update(radam_update, coefficients), elementwise=True)


@elementwise("W", "m", "v")
def radam_update(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    corrected_rate: Array,
    beta1: Array,
    one_minus_beta1: Array,
    beta2: Array,
    one_minus_beta2: Array,
    v_factor: Array,
    uses_v: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """Return one parameter and its means after the step; uses_v is 1 or 0, the factors include the corrections."""
    m = beta1 * m + one_minus_beta1 * g
    v = beta2 * v + one_minus_beta2 * (g * g)
    return W - corrected_rate * (np.where(uses_v > 0, v_factor / (np.sqrt(v) + epsilon), 1) * m), m, v
