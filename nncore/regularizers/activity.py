"""A penalty on the outputs of hidden layers."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked, column
from nncore.regularizers.base import ActivityRegularizer
from nncore.regularizers.penalties import l1_gradient


def activity(strength: ArrayLike) -> ActivityRegularizer:
    """L1 activity penalty: few hidden units (of an autoencoder: few units of its code) are active for any one row.

    Parameters
    ----------
    strength : float or array (K,), >= 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    strength sum |y|, as a mean over the rows;  derivative strength sign(y) / N.

    References
    ----------
    Goodfellow, Bengio & Courville (2016), "Deep learning", section 14.2.1.
    """
    strength = checked("activity", "strength", strength, at_least=0)

    def add_gradient(y: Array, dy: Array) -> None:
        l1_gradient(dy, y, strength=strength / y.shape[1])

    def value(y: Array) -> Array:
        return column(strength, y)[:, 0, 0] * np.abs(y).sum(axis=2).mean(axis=1)

    return ActivityRegularizer(add_gradient, value)
