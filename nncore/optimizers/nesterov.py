"""Nesterov's momentum."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, stepping, zeros


def nesterov(learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Optimizer:
    """Nesterov's momentum: the gradient is followed once more along the velocity that it has just changed.

        v <- mu v + g                             velocity
        W <- W - eta (g + mu v)

    Shapes   each hyperparameter: scalar or (K,)
    Range    eta > 0;  0 <= mu < 1 (momentum)
    Raises   ValueError naming argument, value, rule and network
    Source   Nesterov (1983); this form: Sutskever et al. (2013), "On the importance of initialization and
             momentum in deep learning"
    Differs  W is the point looked ahead to, where the gradient is taken, as in most libraries
    """
    learning_rate = checked("nesterov", "learning_rate", learning_rate, above=0)
    momentum = checked("nesterov", "momentum", momentum, at_least=0, below=1)

    def coefficients(step: Step) -> tuple[Array, ...]:
        return learning_rate * step.factor, momentum

    return Optimizer(zeros("v"), stepping(rule, coefficients, "v"))


@elementwise("W", "v")
def rule(W: Array, g: Array, v: Array, *, eta: Array, mu: Array) -> tuple[Array, Array]:
    """The step of one parameter."""
    v = mu * v + g
    return W - eta * (g + mu * v), v
