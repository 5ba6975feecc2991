"""Stochastic gradient descent."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked
from nncore.optimizers.base import Optimizer, State, Step, zeros


def sgd(learning_rate: ArrayLike) -> Optimizer:
    """Gradient descent on a mini-batch: a step of size eta down the gradient.

        W <- W - eta g

    Shapes   learning_rate: scalar or (K,)
    Range    eta > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Robbins & Monro (1951), "A stochastic approximation method"
    """
    learning_rate = checked("sgd", "learning_rate", learning_rate, above=0)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        W -= np.multiply(step.rate(learning_rate, W), g, out=step.scratch("change", W))

    return Optimizer(zeros(), update)
