"""Lion."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.adamw import decay
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


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

    step_by = stepping(rule, lambda step: (learning_rate * step.factor, beta1, 1 - beta1, beta2, 1 - beta2), "m")

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        decay(W, step, learning_rate * weight_decay)
        step_by(W, g, state, step)

    return Optimizer(zeros("m"), update)


@elementwise("W", "m")
def rule(
    W: Array, g: Array, m: Array, *, eta: Array, beta1: Array, rest1: Array, beta2: Array, rest2: Array
) -> tuple[Array, Array]:
    """The step of one parameter; rest = 1 - beta."""
    return W - eta * np.sign(beta1 * m + rest1 * g), beta2 * m + rest2 * g
