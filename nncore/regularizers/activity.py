"""A penalty on the outputs of hidden layers."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import ActivityRegularizer
from nncore.regularizers.penalties import l1_gradient


def activity(strength: ArrayLike) -> ActivityRegularizer:
    """strength * sum |y| of the hidden layers (of an autoencoder: of its code), as a mean over the rows.

    Few units then say anything for one row: a sparse code.

    Derivative   strength * sign(y) / N
    Range        strength >= 0
    Source       Goodfellow, Bengio & Courville (2016), "Deep learning", section 14.2.1
    """
    strength = checked("activity", "strength", strength, at_least=0)

    def add_gradient(y: Array, dy: Array) -> None:
        l1_gradient(dy, y, strength=strength / y.shape[1])

    return ActivityRegularizer(add_gradient)
