"""Gradient descent with momentum."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def momentum(learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Optimizer:
    """Momentum (heavy ball): steps add up along directions in which successive gradients agree.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
    momentum : float or array (K,), in [0, 1), default 0.9
        Share of the velocity that is kept from step to step.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    v <- momentum v + g (velocity);  W <- W - learning_rate v.
    The form v <- momentum v - learning_rate g takes the same steps while the learning rate is constant.

    References
    ----------
    Polyak (1964), "Some methods of speeding up the convergence of iteration methods".
    """
    learning_rate = checked("momentum", "learning_rate", learning_rate, above=0)
    momentum = checked("momentum", "momentum", momentum, at_least=0, below=1)

    def coefficients(step: Step) -> dict[str, Array]:
        return {"learning_rate": learning_rate * step.factor, "momentum": momentum}

    return Optimizer(zeros("v"), elementwise_update(momentum_update, coefficients), elementwise=True)


@elementwise("W", "v")
def momentum_update(W: Array, g: Array, v: Array, *, learning_rate: Array, momentum: Array) -> tuple[Array, Array]:
    """Return one parameter and its velocity after the step."""
    v = momentum * v + g
    return W - learning_rate * v, v
