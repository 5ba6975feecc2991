"""RAdam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def radam(
    learning_rate: ArrayLike, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.999, epsilon: ArrayLike = 1e-8
) -> Optimizer:
    """RAdam: Adam that trusts its denominator only once enough gradients stand behind it.

        m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
        L = 2 / (1 - beta2) - 1,  l = L - 2 t beta2^t / (1 - beta2^t)       gradients behind v, at most and now
        r = sqrt((l - 4) (l - 2) L / ((L - 4) (L - 2) l))                  rectification
        W <- W - eta r m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + epsilon)    if l > 5
        W <- W - eta m / (1 - beta1^t)                                              else

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; the coefficients in float64, then cast
    Range    eta > 0;  0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Liu et al. (2019), arXiv:1908.03265, Algorithm 2
    Differs  from the paper: the denominator is trusted from l > 5 (there 4), and has an epsilon, as in torch
    """
    learning_rate = checked("radam", "learning_rate", learning_rate, above=0)
    beta1 = checked("radam", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("radam", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("radam", "epsilon", epsilon, above=0)

    def rectification(t: int) -> tuple[Array, Array]:
        """Whether v is trusted, and r sqrt(1 - beta2^t)."""
        most = 2 / (1 - beta2) - 1
        now = most - 2 * t * beta2**t / (1 - beta2**t)
        trusted = now > 5
        now = np.where(trusted, now, 6)  # any number that keeps the root real
        most = np.where(trusted, most, 6)
        r = np.sqrt((now - 4) * (now - 2) * most / ((most - 4) * (most - 2) * now))
        return trusted, r * np.sqrt(1 - beta2**t)

    def coefficients(step: Step) -> tuple[Array, ...]:
        t, eta = step.number, learning_rate * step.factor
        trusted, r = rectification(t)
        return eta / (1 - beta1**t), beta1, 1 - beta1, beta2, 1 - beta2, r, trusted, epsilon

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
    r: Array,
    trusted: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest = 1 - beta, m's correction is in eta and v's in r; trusted is 1 or 0."""
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    return W - eta * (np.where(trusted > 0, r / (np.sqrt(v) + epsilon), 1) * m), m, v
