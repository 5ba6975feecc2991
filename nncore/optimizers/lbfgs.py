"""L-BFGS."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State, to_host
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.base import Optimizer, Step

SUFFICIENT = 1e-4
HALVINGS = 30
LEAST_CURVATURE = 1e-10


def lbfgs(learning_rate: ArrayLike = 1.0, memory: int = 10) -> Optimizer:
    """L-BFGS: one step per epoch along -H g, H the inverse Hessian as the last few steps show it.

        pairs s = W_new - W_old, y = g_new - g_old, kept if y.s > 1e-10, at most `memory` of them
        H from the newest pair's (y.s / y.y) I by one BFGS update per pair (the two-loop recursion)
        W <- W + t d, d = -H g: t starts at eta (in the first step at eta min(1, 1 / sum |g|)) and halves until
        f(W + t d) <= f(W) + 1e-4 t g.d; if 30 halvings do not reach that, W stays

    f is the loss with its penalties as a mean over the batches of the epoch, g its gradient, gathered over them. A
    line search costs one pass over the rows for each t. With batch normalisation f changes a little from epoch to
    epoch, as the batches do.

    Shapes   learning_rate: scalar or (K,); memory is one whole number >= 1
    Range    eta > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Liu & Nocedal (1989), "On the limited memory BFGS method"; Nocedal & Wright (2006), "Numerical
             optimization", algorithms 3.1, 7.4 and 7.5
    """
    learning_rate = checked("lbfgs", "learning_rate", learning_rate, above=0)
    memory = int(checked("lbfgs", "memory", memory, at_least=1, integer=True).item())

    def init(W: Array) -> State:
        pairs = np.zeros_like(W, shape=(len(W), memory, W.shape[1]))
        named = {name: np.zeros_like(W) for name in ("W", "g")}
        return {**named, "s": pairs, "y": pairs.copy(), "steps": np.zeros(len(W))}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        first = state["steps"] == 0
        _remember(state, W, g, first)
        d = -_two_loops(g, state["s"], state["y"])
        scale = np.where(first, np.minimum(1, 1 / np.maximum(_host(np.abs(g).sum(axis=1)), 1e-300)), 1)
        state["W"][...], state["g"][...] = W, g
        state["steps"] += 1
        _line_search(W, d, g, learning_rate * step.factor * scale, step)

    return Optimizer(init, update, full_batch=True, needs_fixed_objective=True)


def _remember(state: State, W: Array, g: Array, first: Array) -> None:
    """Put the newest pair last, where it shows curvature."""
    s, y = W - state["W"], g - state["g"]
    good = ~first & (_host((s * y).sum(axis=1)) > LEAST_CURVATURE)
    for network in np.flatnonzero(good):
        for pairs, newest in ((state["s"], s), (state["y"], y)):
            pairs[network, :-1] = pairs[network, 1:].copy()
            pairs[network, -1] = newest[network]


def _two_loops(g: Array, s: Array, y: Array) -> Array:
    """H g, for pairs s and y (K, memory, P), the newest last; pairs of zeros are none."""
    ys = (y * s).sum(axis=2)  # (K, memory)
    there = ys > 0
    rho = np.where(there, 1 / np.where(there, ys, 1), 0)[:, :, None]
    q, alpha = g.copy(), {}
    for index in reversed(range(s.shape[1])):
        alpha[index] = rho[:, index] * (s[:, index] * q).sum(axis=1, keepdims=True)
        q -= alpha[index] * y[:, index]
    yy = (y[:, -1] * y[:, -1]).sum(axis=1)
    q *= np.where(there[:, -1], ys[:, -1] / np.where(there[:, -1], yy, 1), 1)[:, None]
    for index in range(s.shape[1]):
        beta = rho[:, index] * (y[:, index] * q).sum(axis=1, keepdims=True)
        q += (alpha[index] - beta) * s[:, index]
    return q


def _line_search(W: Array, d: Array, g: Array, t: Array, step: Step) -> None:
    """W <- W + t d in place, t halved per network until the objective has fallen enough."""
    assert step.objective is not None, "L-BFGS needs the objective"
    start = W.copy()
    f, slope = step.objective(start, step.networks), _host((g * d).sum(axis=1))
    t = np.broadcast_to(t, f.shape).astype(np.float64)
    searching = np.ones(len(W), bool)
    for _ in range(HALVINGS + 1):
        trial = start + column(t, W) * d
        well = searching & (step.objective(trial, step.networks) <= f + SUFFICIENT * t * slope)
        np.copyto(W, trial, where=column(well, W) > 0)
        searching &= ~well
        if not searching.any():
            return
        t[searching] /= 2


def _host(array: Array) -> Array:
    """One number per network, in float64, in the computer's own memory."""
    return to_host(array).astype(np.float64)
