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

        mu_t = beta1 (1 - 0.96^(t d) / 2),  M_t = M_(t-1) mu_t       d = momentum_decay
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        n = (1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_t mu_(t+1)) m
        W <- W - eta n / (sqrt(v / (1 - beta2^t)) + epsilon)

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; the coefficients of n and M in float64
    Range    eta > 0;  0 <= beta1, beta2 < 1;  epsilon > 0;  momentum_decay >= 0
    Raises   ValueError naming argument, value, rule and network
    Source   Dozat (2016), "Incorporating Nesterov momentum into Adam", Algorithm 2 and section 3
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
        m, v, M = state["m"], state["v"], state["M"]
        t, eta = step.number, learning_rate * step.factor
        now, following = mu(t), mu(t + 1)
        M *= now
        towards_g, towards_m = eta * (1 - now) / (1 - M), eta * following / (1 - M * following)
        beta = beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**t)
        rule([W, g, m, v], [towards_g, towards_m, *beta, epsilon])

    return Optimizer(init, update)


@elementwise("W", "m", "v")
def rule(
    W: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    towards_g: Array,
    towards_m: Array,
    beta1: Array,
    rest1: Array,
    beta2: Array,
    rest2: Array,
    correction: Array,
    epsilon: Array,
) -> tuple[Array, Array, Array]:
    """The step of one parameter; rest = 1 - beta, correction = 1 / (1 - beta2^t), eta is in both coefficients of n."""
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    return W - (towards_g * g + towards_m * m) / (np.sqrt(correction * v) + epsilon), m, v
