"""Weight averaging: a network answers with a mean over its way, which lies flatter than any point of it."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Step
from nncore.regularizers.base import WeightAverage


def ema(decay: ArrayLike = 0.999) -> WeightAverage:
    """Exponential moving average: after each step A <- decay A + (1 - decay) W; after the first, A = W.

    Running statistics of batch normalisation are averaged along.

    Range    0 <= decay < 1
    Source   Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging"
    Differs  from the source, which averages all steps alike
    """
    decay = checked("ema", "decay", decay, at_least=0, below=1)

    def observe(W: Array, state: State, step: Step, epoch: int) -> None:
        A = state["A"]
        if step.number == 1:
            A[...] = W
            return
        ema_update(A, W, one_minus_decay=1 - decay)

    return WeightAverage(_copy, observe, _answer)


@elementwise("A")
def ema_update(A: Array, W: Array, *, one_minus_decay: Array) -> Array:
    """One number's mean; rest = 1 - decay."""
    return A + one_minus_decay * (W - A)


def swa(start: ArrayLike = 10) -> WeightAverage:
    """Stochastic weight averaging: the plain mean of the weights at the ends of all epochs after `start`.

    Until then, the weights themselves.

    Running statistics of batch normalisation are averaged along.

    Range    start >= 0, in epochs
    Source   Izmailov et al. (2018), arXiv:1803.05407, Algorithm 1
    Differs  from the paper, where the running statistics are made anew by one more pass over the rows
    """
    start = checked("swa", "start", start, at_least=0, integer=True)

    def observe(W: Array, state: State, step: Step, epoch: int) -> None:
        if not step.last:
            return
        n = np.maximum(epoch - start, 1)  # epochs in the mean; until the first of them it is W
        A, n = state["A"], column(np.broadcast_to(n, len(W)), W)
        A += (W - A) / n
        np.copyto(A, W, where=n == 1)

    return WeightAverage(_copy, observe, _answer)


def _copy(W: Array) -> State:
    return {"A": W.copy()}


def _answer(W: Array, state: State) -> Array:
    return state["A"].copy()
