"""NAdam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, zeros


def nadam(
    learning_rate: ArrayLike,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
    momentum_decay: ArrayLike = 0.004,
) -> Optimizer:
    """NAdam: Adam with Nesterov's momentum, whose coefficient mu rises towards beta1.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.999
        Decay of the mean of gradients and of squared gradients.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the root.
    momentum_decay : float or array (K,), >= 0, default 0.004
        How fast mu approaches beta1.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  M_t = M_(t-1) mu_t;
    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    n = (1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_t mu_(t+1)) m;
    W <- W - learning_rate n / (sqrt(v / (1 - beta2^t)) + epsilon).
    M and the coefficients of n are computed in float64, then cast to the parameters' dtype.

    References
    ----------
    Dozat (2016), "Incorporating Nesterov momentum into Adam", Algorithm 2 and section 3.
    """
    learning_rate = checked("nadam", "learning_rate", learning_rate, above=0)
    beta1 = checked("nadam", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("nadam", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("nadam", "epsilon", epsilon, above=0)
    momentum_decay = checked("nadam", "momentum_decay", momentum_decay, at_least=0)
    moments = zeros("m", "v")

    def init(W: Array) -> State:
        return {**moments(W), "M": np.ones(len(W))}

    def mu(t: int) -> Array:
        return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        M, t, rate = state["M"], step.number, learning_rate * step.factor
        mu_now, mu_next = mu(t), mu(t + 1)
        M *= mu_now
        nadam_update(
            W,
            g,
            state["m"],
            state["v"],
            g_rate=rate * (1 - mu_now) / (1 - M),
            m_rate=rate * mu_next / (1 - M * mu_next),
            beta1=beta1,
            one_minus_beta1=1 - beta1,
            beta2=beta2,
            one_minus_beta2=1 - beta2,
            v_correction=1 / (1 - beta2**t),
            epsilon=epsilon,
        )

    return Optimizer(init, update, elementwise=True)


@elementwise("W", "m", "v")
def nadam_update(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    g_rate: Array,
    m_rate: Array,
    beta1: Array,
    one_minus_beta1: Array,
    beta2: Array,
    one_minus_beta2: Array,
    v_correction: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """Return one parameter and its means after the step; both rates include the learning rate."""
    m = beta1 * m + one_minus_beta1 * g
    v = beta2 * v + one_minus_beta2 * (g * g)
    return W - (g_rate * g + m_rate * m) / (np.sqrt(v_correction * v) + epsilon), m, v
