"""Dropout."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import CONSTANT, Dropout
from nncore.schedules import Schedule, check_depends_on_time_alone

CHANCES = 1 << 16  # values that a random number takes, all equally probable


def dropout(rate: ArrayLike = 0.5, input_rate: ArrayLike = 0.0, schedule: Schedule = CONSTANT) -> Dropout:
    """Dropout: in each training step a random share of every layer's inputs is 0, and the rest is scaled up.

    Parameters
    ----------
    rate : float or array (K,), in [0, 1), default 0.5
        Share of the outputs of hidden layers.
    input_rate : float or array (K,), in [0, 1), default 0
        Share of the columns of the rows.
    schedule : Schedule, default constant
        Factor of both rates in the course of training, from step to step.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    What is kept is multiplied by 1 / (1 - rate). Predictions use everything, and so does the skip connection of a
    residual layer, which adds the layer's undropped input. Of the 65536 equally probable values of
    generator(seed, "dropout", epoch, layer), those below the rate drop a number, so the rate is rounded to multiples of
    1 / 65536.

    References
    ----------
    Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting".
    """
    rate = checked("dropout", "rate", rate, at_least=0, below=1)
    input_rate = checked("dropout", "input_rate", input_rate, at_least=0, below=1)
    check_depends_on_time_alone("dropout", schedule)
    return Dropout(input_rate, rate, schedule)


@elementwise("chance", "dropped")
def drop(chance: Array, x: Array, *, threshold: Array, scale: Array) -> tuple[Array, Array]:
    """Return the factor of one number, 0 if its chance is below the threshold, and the number times that factor."""
    factor = np.where(chance >= threshold, scale, 0)
    return factor, x * factor
