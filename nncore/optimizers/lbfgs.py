"""L-BFGS."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State, to_host
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, Step

SUFFICIENT_DECREASE = 1e-4
MAX_HALVINGS = 30
MIN_CURVATURE = 1e-10


def lbfgs(learning_rate: ArrayLike = 1.0, memory: int = 10) -> Optimizer:
    """L-BFGS: one step per epoch along -H g, where the last few steps approximate the inverse Hessian H.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0, default 1
        Step size with which the line search begins.
    memory : int, >= 1, default 10
        Number of pairs (s, y) that are kept, the same for all networks.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    Pairs s = W_new - W_old, y = g_new - g_old are kept if y.s > 1e-10, at most `memory` of them. H is the newest pair's
    (y.s / y.y) I after one BFGS update per pair (the two-loop recursion). W <- W + t d with d = -H g: t starts at the
    learning rate (in the first step at learning_rate min(1, 1 / sum |g|)) and is halved until
    f(W + t d) <= f(W) + 1e-4 t g.d; if 30 halvings do not reach that, W stays the same.

    f is the loss with its penalties, as a mean over the batches of the epoch, and g its gradient, accumulated over
    them. The line search takes one pass over the rows for each t. With batch normalisation f changes a little from
    epoch to epoch, as the batches do.

    References
    ----------
    Liu & Nocedal (1989), "On the limited memory BFGS method"; Nocedal & Wright (2006), "Numerical optimization",
    algorithms 3.1, 7.4 and 7.5.
    """
    learning_rate = checked("lbfgs", "learning_rate", learning_rate, above=0)
    memory = int(checked("lbfgs", "memory", memory, at_least=1, integer=True).item())

    def init(W: Array) -> State:
        pairs = np.zeros_like(W, shape=(len(W), memory, W.shape[1]))
        previous = {name: np.zeros_like(W) for name in ("W", "g")}
        return {**previous, "s": pairs, "y": pairs.copy(), "steps": np.zeros(len(W))}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        is_first = state["steps"] == 0
        _add_pair(state, W, g, is_first)
        d = -_two_loop_recursion(g, state["s"], state["y"])
        scale = np.where(is_first, np.minimum(1, 1 / np.maximum(_host(np.abs(g).sum(axis=1)), 1e-300)), 1)
        state["W"][...], state["g"][...] = W, g
        state["steps"] += 1
        _line_search(W, d, g, learning_rate * step.factor * scale, step)

    return Optimizer(init, update, full_batch=True, needs_fixed_objective=True)


def _add_pair(state: State, W: Array, g: Array, is_first: Array) -> None:
    """Put the newest pair last, for the networks where it shows curvature."""
    s, y = W - state["W"], g - state["g"]
    is_useful = ~is_first & (_host((s * y).sum(axis=1)) > MIN_CURVATURE)
    for network in np.flatnonzero(is_useful):
        for pairs, newest in ((state["s"], s), (state["y"], y)):
            pairs[network, :-1] = pairs[network, 1:].copy()
            pairs[network, -1] = newest[network]


def _two_loop_recursion(g: Array, s: Array, y: Array) -> Array:
    """H g, for pairs s and y (K, memory, P), the newest last; pairs of zeros are not there yet."""
    ys = (y * s).sum(axis=2)  # (K, memory)
    is_pair = ys > 0
    rho = np.where(is_pair, 1 / np.where(is_pair, ys, 1), 0)[:, :, None]
    q, alpha = g.copy(), {}
    for index in reversed(range(s.shape[1])):
        alpha[index] = rho[:, index] * (s[:, index] * q).sum(axis=1, keepdims=True)
        q -= alpha[index] * y[:, index]
    yy = (y[:, -1] * y[:, -1]).sum(axis=1)
    q *= np.where(is_pair[:, -1], ys[:, -1] / np.where(is_pair[:, -1], yy, 1), 1)[:, None]
    for index in range(s.shape[1]):
        beta = rho[:, index] * (y[:, index] * q).sum(axis=1, keepdims=True)
        q += (alpha[index] - beta) * s[:, index]
    return q


def _line_search(W: Array, d: Array, g: Array, t: Array, step: Step) -> None:
    """W <- W + t d in place, t halved for each network until the objective has decreased enough."""
    assert step.objective is not None, "L-BFGS needs the objective"
    start = W.copy()
    f, slope = step.objective(start, step.networks), _host((g * d).sum(axis=1))
    t = np.broadcast_to(t, f.shape).astype(np.float64)
    is_searching = np.ones(len(W), bool)
    for _ in range(MAX_HALVINGS + 1):
        trial = start + column(t, W) * d
        is_accepted = is_searching & (step.objective(trial, step.networks) <= f + SUFFICIENT_DECREASE * t * slope)
        np.copyto(W, trial, where=column(is_accepted, W) > 0)
        is_searching &= ~is_accepted
        if not is_searching.any():
            return
        t[is_searching] /= 2


def _host(array: Array) -> Array:
    """One number per network, in float64, in the computer's own memory."""
    return to_host(array).astype(np.float64)
