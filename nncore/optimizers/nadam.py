"""NAdam."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


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
        t, room, change = step.number, step.scratch("room", W), step.scratch("change", W)
        now, following = mu(t), mu(t + 1)
        M *= now
        update_mean(m, g, beta1, room)
        update_mean(v, np.multiply(g, g, out=room), beta2, room)
        np.multiply(g, step.rate(learning_rate * (1 - now) / (1 - M), W), out=change)
        change += np.multiply(m, step.rate(learning_rate * following / (1 - M * following), W), out=room)
        np.multiply(v, column(1 / (1 - beta2**t), W), out=room)
        np.sqrt(room, out=room)
        room += column(epsilon, W)
        change /= room
        W -= change

    return Optimizer(init, update)
