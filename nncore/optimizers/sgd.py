"""Stochastic gradient descent."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step, elementwise_update, zeros


def sgd(learning_rate: ArrayLike) -> Optimizer:
    """Stochastic gradient descent: step down the gradient of a mini-batch.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- W - learning_rate g

    References
    ----------
    Robbins & Monro (1951), "A stochastic approximation method".
    """
    learning_rate = checked("sgd", "learning_rate", learning_rate, above=0)

    def coefficients(step: Step) -> dict[str, Array]:
        return {"learning_rate": learning_rate * step.factor}

    return Optimizer(zeros(), elementwise_update(sgd_update, coefficients), elementwise=True)


@elementwise("W")
def sgd_update(W: Array, g: Array, *, learning_rate: Array) -> Array:
    """Return one parameter after the step."""
    return W - learning_rate * g
