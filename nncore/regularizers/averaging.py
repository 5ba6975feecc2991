"""Weight averaging: a mean over the steps of training is selected, which often lies in a flatter minimum."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Step
from nncore.regularizers.base import WeightAverage


def ema(decay: ArrayLike = 0.999) -> WeightAverage:
    """Exponential moving average of the weights, and of batch normalisation's running statistics.

    Parameters
    ----------
    decay : float or array (K,), in [0, 1), default 0.999

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    A = W after the first step, then A <- decay A + (1 - decay) W after each step. The source averages all steps with
    equal weight instead.

    References
    ----------
    Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging".
    """
    decay = checked("ema", "decay", decay, at_least=0, below=1)

    def observe(W: Array, state: State, step: Step, epoch: int) -> None:
        A = state["A"]
        if step.number == 1:
            A[...] = W
            return
        ema_update(A, W, one_minus_decay=1 - decay)

    return WeightAverage(_start_at, observe, _average)


@elementwise("A")
def ema_update(A: Array, W: Array, *, one_minus_decay: Array) -> Array:
    """Return the mean of one number after the step."""
    return A + one_minus_decay * (W - A)


def swa(start: ArrayLike = 10) -> WeightAverage:
    """Stochastic weight averaging: the mean of the weights at the ends of all epochs after `start`.

    Parameters
    ----------
    start : int or array (K,), >= 0, default 10
        In epochs; until then, the weights themselves are selected.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    Running statistics of batch normalisation are averaged too. In the paper they are computed anew by one more pass
    over the rows.

    References
    ----------
    Izmailov et al. (2018), arXiv:1803.05407, Algorithm 1.
    """
    start = checked("swa", "start", start, at_least=0, integer=True)

    def observe(W: Array, state: State, step: Step, epoch: int) -> None:
        if not step.last:
            return
        n = np.maximum(epoch - start, 1)  # epochs in the mean; until the first of them it is W
        A, n = state["A"], column(np.broadcast_to(n, len(W)), W)
        A += (W - A) / n
        np.copyto(A, W, where=n == 1)

    return WeightAverage(_start_at, observe, _average)


def _start_at(W: Array) -> State:
    return {"A": W.copy()}


def _average(W: Array, state: State) -> Array:
    return state["A"].copy()
