"""Lookahead."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step


def lookahead(optimizer: Optimizer, alpha: ArrayLike = 0.5, every: ArrayLike = 5) -> Optimizer:
    """Lookahead: every few steps of another optimizer, go back to a point part of the way from where they began.

    Parameters
    ----------
    optimizer : Optimizer
        Moves the fast weights.
    alpha : float or array (K,), in (0, 1], default 0.5
        Share of the way that the slow weights follow.
    every : int or array (K,), >= 1, default 5
        Steps between two moves of the slow weights.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- the optimizer's step (fast weights); every k-th step S <- S + alpha (W - S), W <- S (slow weights), k = every.
    The state of the inner optimizer is kept when W moves back.

    References
    ----------
    Zhang et al. (2019), arXiv:1907.08610, Algorithm 1.
    """
    alpha = checked("lookahead", "alpha", alpha, above=0, at_most=1)
    every = checked("lookahead", "every", every, at_least=1, integer=True)

    def init(W: Array) -> State:
        return {f"fast.{name}": array for name, array in optimizer.init(W).items()} | {"slow": W.copy()}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        fast = {name.removeprefix("fast."): array for name, array in state.items() if name.startswith("fast.")}
        optimizer.update(W, g, fast, step)
        is_due = (step.number % every == 0).astype(np.float64)
        if is_due.any():
            lookahead_update(W, state["slow"], is_due=is_due, alpha=alpha)

    return optimizer._replace(init=init, update=update)


@elementwise("W", "slow")
def lookahead_update(W: Array, slow: Array, *, is_due: Array, alpha: Array) -> tuple[Array, Array]:
    """Return one parameter and its slow weight; is_due is 1 where slow weights move, else 0."""
    moved = slow + alpha * (W - slow)
    return np.where(is_due > 0, moved, W), np.where(is_due > 0, moved, slow)
