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
    """AdamW: Adam, and the weights shrink by themselves instead of through the gradient.

        W <- W - eta lambda W                     the weights; not biases, scales and shifts
        then Adam's step

    Shapes   each hyperparameter: scalar or (K,)
    Range    eta > 0;  lambda >= 0 (weight_decay);  0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Loshchilov & Hutter (2017), arXiv:1711.05101, Algorithm 2
    Differs  from the paper: the decay is multiplied by the learning rate, as in torch
    """
    learning_rate = checked("adamw", "learning_rate", learning_rate, above=0)
    weight_decay = checked("adamw", "weight_decay", weight_decay, at_least=0)
    beta1 = checked("adamw", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("adamw", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("adamw", "epsilon", epsilon, above=0)
    rule = adam(learning_rate, beta1, beta2, epsilon)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        decay(W, step, learning_rate * weight_decay)
        rule.update(W, g, state, step)

    return Optimizer(rule.init, update)


def decay(W: Array, step: Step, amount: Array) -> None:
    """Shrink the weights among the parameters W (K, P) by this share of themselves, times the schedule's factor."""
    shrunk([W[:, : step.architecture.n_weights]], [1 - amount * step.factor])


@elementwise("W")
def shrunk(W: Array, *, keep: Array) -> Array:
    """One weight, of which this share is kept."""
    return W * keep
