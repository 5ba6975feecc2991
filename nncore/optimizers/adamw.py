"""AdamW."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.adam import adam
from nncore.optimizers.base import Optimizer, Step


def adamw(
    learning_rate: ArrayLike,
    weight_decay: ArrayLike = 0.01,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
) -> Optimizer:
    """AdamW: Adam with decoupled weight decay, which shrinks the weights directly and not through the gradient.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    weight_decay : float or array (K,), >= 0, default 0.01
        Share of the weights that a step with learning rate 1 would take away.
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.999
        Decay of the mean of gradients and of squared gradients.
    epsilon : float or array (K,), > 0, default 1e-8
        Added to the root of the mean of squared gradients.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- W - learning_rate weight_decay W for the weights, not for biases, scales and shifts; then Adam's step.
    The decay is multiplied by the learning rate, as in torch; in the paper it is not.

    References
    ----------
    Loshchilov & Hutter (2017), arXiv:1711.05101, Algorithm 2.
    """
    learning_rate = checked("adamw", "learning_rate", learning_rate, above=0)
    weight_decay = checked("adamw", "weight_decay", weight_decay, at_least=0)
    beta1 = checked("adamw", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("adamw", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("adamw", "epsilon", epsilon, above=0)
    plain_adam = adam(learning_rate, beta1, beta2, epsilon)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        decay_weights(W, step, learning_rate * weight_decay)
        plain_adam.update(W, g, state, step)

    return Optimizer(plain_adam.init, update, elementwise=True)


def decay_weights(W: Array, step: Step, amount: Array) -> None:
    """Shrink the weights among the parameters W by a share of themselves, times the schedule's factor.

    Parameters
    ----------
    W : array (K, P) or a part of it
        Changed in place; biases, scales and shifts stay.
    step : Step
    amount : array (K,) or (1,)
        The share at factor 1.
    """
    n_weights = step.architecture.n_weights - step.offset  # weights come first
    if n_weights > 0:
        shrink(W[:, :n_weights], kept_share=1 - amount * step.factor)


@elementwise("W")
def shrink(W: Array, *, kept_share: Array) -> Array:
    """Return a share of one weight."""
    return W * kept_share
