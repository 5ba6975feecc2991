"""Gradient descent with momentum."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def momentum(learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Optimizer:
    """Momentum (the heavy ball): steps add up along directions in which the gradient agrees with itself.

        v <- mu v + g                             velocity
        W <- W - eta v

    Shapes   each hyperparameter: scalar or (K,)
    Range    eta > 0;  0 <= mu < 1 (momentum)
    Raises   ValueError naming argument, value, rule and network
    Source   Polyak (1964), "Some methods of speeding up the convergence of iteration methods"
    Differs  from the form v <- mu v - eta g: the same steps while eta is constant
    """
    learning_rate = checked("momentum", "learning_rate", learning_rate, above=0)
    momentum = checked("momentum", "momentum", momentum, at_least=0, below=1)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, momentum

    return Optimizer(zeros("v"), stepping(rule, coefficients, "v"))


@elementwise("W", "v")
def rule(W: Array, g: Array, v: Array, *, eta: Array, mu: Array) -> tuple[Array, Array]:
    """The step of one parameter."""
    v = mu * v + g
    return W - eta * v, v
