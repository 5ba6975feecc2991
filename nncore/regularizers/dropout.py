"""Dropout."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import Dropout

CHANCES = 1 << 16  # of a draw


def dropout(rate: ArrayLike = 0.5, input_rate: ArrayLike = 0.0) -> Dropout:
    """In each step a random share of what every layer sees is 0, and the rest is multiplied by 1 / (1 - share).

    `rate` for the hidden layers' y, `input_rate` for the columns of the rows. When the network answers, all is
    there. What a residual layer adds, its x, is whole.

    Range    0 <= rate, input_rate < 1
    Random   which: generator(seed, "dropout", epoch, layer), of 65536 chances those below the rate, to which it is
             rounded
    Source   Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting"
    """
    rate = checked("dropout", "rate", rate, at_least=0, below=1)
    input_rate = checked("dropout", "input_rate", input_rate, at_least=0, below=1)
    return Dropout(input_rate, rate)


@elementwise("chance", "dropped")
def drop(chance: Array, x: Array, *, threshold: Array, scale: Array) -> tuple[Array, Array]:
    """What a number is multiplied by, in the place of its chance, and what is then seen of it."""
    factor = np.where(chance >= threshold, scale, 0)
    return factor, x * factor
