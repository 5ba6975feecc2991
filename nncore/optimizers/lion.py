"""Lion."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.adamw import decay_weights
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def lion(
    learning_rate: ArrayLike, weight_decay: ArrayLike = 0.0, beta1: ArrayLike = 0.9, beta2: ArrayLike = 0.99
) -> Optimizer:
    """Lion: move every parameter by the learning rate, in the direction of the sign of a mean gradient.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
        Some 3 to 10 times smaller than Adam's.
    weight_decay : float or array (K,), >= 0, default 0
        Decoupled weight decay, multiplied by the learning rate.
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.99
        Decay of the mean that gives the direction, and of the mean that is kept.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- W - learning_rate weight_decay W for the weights, not for biases, scales and shifts;
    W <- W - learning_rate sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g.
    1 - beta is computed in float64, then cast to the parameters' dtype.

    References
    ----------
    Chen et al. (2023), arXiv:2302.06675, Algorithm 2.
    """
    learning_rate = checked("lion", "learning_rate", learning_rate, above=0)
    weight_decay = checked("lion", "weight_decay", weight_decay, at_least=0)
    beta1 = checked("lion", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("lion", "beta2", beta2, at_least=0, below=1)

    def coefficients(step: Step) -> dict[str, Array]:
        return {
            "learning_rate": learning_rate * step.factor,
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1 - beta2,
        }

    sign_update = elementwise_update(lion_update, coefficients)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        decay_weights(W, step, learning_rate * weight_decay)
        sign_update(W, g, state, step)

    return Optimizer(zeros("m"), update, elementwise=True)


@elementwise("W", "m")
def lion_update(
    W: Array,
    g: Array,
    m: Array,
    *,
    learning_rate: Array,
    beta1: Array,
    one_minus_beta1: Array,
    beta2: Array,
    one_minus_beta2: Array,
) -> tuple[Array, Array]:
    """Return one parameter and its mean gradient after the step."""
    return W - learning_rate * np.sign(beta1 * m + one_minus_beta1 * g), beta2 * m + one_minus_beta2 * g
