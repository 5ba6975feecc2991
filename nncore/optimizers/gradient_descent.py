"""Gradient descent on all rows."""

from numpy.typing import ArrayLike

from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer
from nncore.optimizers.sgd import sgd


def gradient_descent(learning_rate: ArrayLike) -> Optimizer:
    """Full-batch gradient descent: one step per epoch, down the mean gradient of all rows.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- W - learning_rate g, where g is accumulated over the batches of the epoch, each weighted by its share of the
    rows, and W stays the same until the last batch. Such a network can therefore be trained in one stack with networks
    that step after every batch, and needs no more memory than they do.

    References
    ----------
    Cauchy (1847), "Methode generale pour la resolution des systemes d'equations simultanees".
    """
    return sgd(checked("gradient_descent", "learning_rate", learning_rate, above=0))._replace(full_batch=True)
