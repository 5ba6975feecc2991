"""Gradient descent on all rows."""

from numpy.typing import ArrayLike

from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer
from nncore.optimizers.sgd import sgd


def gradient_descent(learning_rate: ArrayLike) -> Optimizer:
    """Full-batch gradient descent: one step per epoch, down the mean gradient g of all rows.

        W <- W - eta g

    g is gathered over the epoch's batches, each by its share of the rows; W stays until the last of them. So it may
    stand beside networks that step with every batch, and needs no more memory than they.

    Shapes   learning_rate: scalar or (K,)
    Range    eta > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Cauchy (1847), "Methode generale pour la resolution des systemes d'equations simultanees"
    """
    return sgd(checked("gradient_descent", "learning_rate", learning_rate, above=0))._replace(full_batch=True)
