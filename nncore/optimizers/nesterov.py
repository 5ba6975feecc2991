"""Nesterov's momentum."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def nesterov(learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Optimizer:
    """Nesterov's momentum: step along the gradient plus the velocity that it has just changed.

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
    v <- momentum v + g (velocity);  W <- W - learning_rate (g + momentum v).
    W is the look-ahead point, where the gradient is taken, as in most libraries.

    References
    ----------
    Nesterov (1983); this form: Sutskever et al. (2013), "On the importance of initialization and momentum in deep
    learning".
    """
    learning_rate = checked("nesterov", "learning_rate", learning_rate, above=0)
    momentum = checked("nesterov", "momentum", momentum, at_least=0, below=1)

    def coefficients(step: Step) -> dict[str, Array]:
        return {"learning_rate": learning_rate * step.factor, "momentum": momentum}

    return Optimizer(zeros("v"), elementwise_update(nesterov_update, coefficients), elementwise=True)


@elementwise("W", "v")
def nesterov_update(W: Array, g: Array, v: Array, *, learning_rate: Array, momentum: Array) -> tuple[Array, Array]:
    """Return one parameter and its velocity after the step."""
    v = momentum * v + g
    return W - learning_rate * (g + momentum * v), v
