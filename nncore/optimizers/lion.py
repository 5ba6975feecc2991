"""Lion."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked, column
from nncore.optimizers.adamw import decay
from nncore.optimizers.base import Optimizer, State, Step, update_mean, zeros


def lion(
    learning_rate: ArrayLike, weight_decay: ArrayLike = 0.0, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.99
) -> Optimizer:
    """Lion: every parameter moves by eta, in the direction of the sign of a mean gradient.

        W <- W - eta lambda W                     the weights; not biases, scales and shifts
        W <- W - eta sign(beta1 m + (1 - beta1) g)
        m <- beta2 m + (1 - beta2) g

    Shapes   each hyperparameter: scalar or (K,)
    Dtype    the parameter's; 1 - beta in float64, then cast
    Range    eta > 0, some 3 to 10 times smaller than Adam's;  lambda >= 0 (weight_decay);  0 <= beta1, beta2 < 1
    Raises   ValueError naming argument, value, rule and network
    Source   Chen et al. (2023), arXiv:2302.06675, Algorithm 2
    """
    learning_rate = checked("lion", "learning_rate", learning_rate, above=0)
    weight_decay = checked("lion", "weight_decay", weight_decay, at_least=0)
    beta1 = checked("lion", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("lion", "beta2", beta2, at_least=0, below=1)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        m, room = state["m"], step.scratch("room", W)
        decay(W, step, learning_rate * weight_decay)
        change = np.multiply(m, column(beta1, W), out=step.scratch("change", W))
        change += np.multiply(g, column(1 - beta1, W), out=room)
        np.sign(change, out=change)
        change *= step.rate(learning_rate, W)
        W -= change
        update_mean(m, g, beta2, room)

    return Optimizer(zeros("m"), update)
