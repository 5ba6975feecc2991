"""Stochastic gradient descent."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def sgd(learning_rate: ArrayLike) -> Optimizer:
    """Gradient descent on a mini-batch: a step of size eta down the gradient.

        W <- W - eta g

    Shapes   learning_rate: scalar or (K,)
    Range    eta > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Robbins & Monro (1951), "A stochastic approximation method"
    """
    learning_rate = checked("sgd", "learning_rate", learning_rate, above=0)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return (learning_rate * step.factor,)

    return Optimizer(zeros(), stepping(rule, coefficients))


@elementwise("W")
def rule(W: Array, g: Array, *, eta: Array) -> Array:
    """The step of one parameter."""
    return W - eta * g
