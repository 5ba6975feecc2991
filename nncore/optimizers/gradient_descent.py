"""Gradient descent on all rows."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.hyperparameters import checked
from nncore.optimizers.base import Optimizer, State, Step, zeros


def gradient_descent(learning_rate: ArrayLike) -> Optimizer:
    """Full-batch gradient descent: one step per epoch, down the mean gradient of all its rows.

        s <- s + (n / N) g                        gathered over the epoch's batches of n of the N rows
        W <- W - eta s;  s <- 0                   after the last of them

    Among networks that step with every batch it uses the same batches, only without moving in between.

    Shapes   learning_rate: scalar or (K,)
    Range    eta > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Cauchy (1847), "Methode generale pour la resolution des systemes d'equations simultanees"
    """
    learning_rate = checked("gradient_descent", "learning_rate", learning_rate, above=0)

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        gathered = gather(g, state["s"], step)
        if step.last:
            W -= np.multiply(step.rate(learning_rate, W), gathered, out=step.scratch("change", W))
            gathered[...] = 0

    return Optimizer(zeros("s"), update)


def gather(g: Array, s: Array, step: Step) -> Array:
    """Add the batch's share to s, which at the last step of an epoch is the gradient over all rows."""
    s += np.multiply(g, step.share, out=step.scratch("share", g))
    return s
