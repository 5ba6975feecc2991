"""Lookahead."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step


def lookahead(optimizer: Optimizer, alpha: ArrayLike = 0.5, every: ArrayLike = 5) -> Optimizer:
    """Lookahead: any optimizer runs ahead, and every few steps its way is gone by a part only.

        W <- the optimizer's step                 fast weights
        every k-th step:  S <- S + alpha (W - S),  W <- S        slow weights

    Shapes   each hyperparameter: scalar or (K,)
    Range    0 < alpha <= 1;  k >= 1, a whole number (every)
    Raises   ValueError naming argument, value, rule and network
    Source   Zhang et al. (2019), arXiv:1907.08610, Algorithm 1; the optimizer's state goes on
    """
    alpha = checked("lookahead", "alpha", alpha, above=0, at_most=1)
    every = checked("lookahead", "every", every, at_least=1, integer=True)

    def init(W: Array) -> State:
        return {f"fast.{name}": array for name, array in optimizer.init(W).items()} | {"slow": W.copy()}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        fast = {name.removeprefix("fast."): array for name, array in state.items() if name.startswith("fast.")}
        optimizer.update(W, g, fast, step)
        turn = (step.number % every == 0).astype(np.float64)
        if turn.any():
            rule([W, state["slow"]], [turn, alpha])

    return Optimizer(init, update, optimizer.full_batch, optimizer.needs_fixed_objective)


@elementwise("W", "slow")
def rule(W: Array, slow: Array, *, turn: Array, alpha: Array) -> tuple[Array, Array]:
    """The way of one parameter; turn is 1 when slow weights move, else 0."""
    moved = slow + alpha * (W - slow)
    return np.where(turn > 0, moved, W), np.where(turn > 0, moved, slow)
