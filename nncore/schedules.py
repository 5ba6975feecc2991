"""Schedules: what becomes of the learning rate in the course of training.

A member returns a `Schedule`. Its factor multiplies the optimizer's learning rate. Time is counted in epochs from
0 and runs on within an epoch: step s of an epoch of S steps, counted from 0, stands at epoch + s / S.

    factor(epoch, state)     the factor at this time, (1,) or (K,); epoch: a number or (K,)
    init(K)                  the state before the first epoch: arrays (K,), by name; most schedules have none
    observe(loss, state, epoch)   told the validation loss (K,) after each epoch, counted from 1; changes the state
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.hyperparameters import checked


class Schedule(NamedTuple):
    """The factor, and what it remembers."""

    factor: Callable[[Any, State], Array]
    init: Callable[[int], State] = lambda n_networks: {}
    observe: Callable[[Array, State, int], None] = lambda loss, state, epoch: None


def constant() -> Schedule:
    """1, always."""
    return Schedule(lambda epoch, state: np.ones_like(epoch, dtype=np.float64))


def step(every: ArrayLike, gamma: ArrayLike = 0.1) -> Schedule:
    """gamma^floor(epoch / every): a drop every so many epochs.

    Range    every >= 1, in epochs;  0 < gamma <= 1
    """
    every = checked("step", "every", every, at_least=1)
    gamma = checked("step", "gamma", gamma, above=0, at_most=1)
    return Schedule(lambda epoch, state: gamma ** np.floor(epoch / every))


def exponential(gamma: ArrayLike = 0.95) -> Schedule:
    """gamma^epoch.

    Range    0 < gamma <= 1
    """
    gamma = checked("exponential", "gamma", gamma, above=0, at_most=1)
    return Schedule(lambda epoch, state: gamma**epoch)


def polynomial(epochs: ArrayLike, power: ArrayLike = 1.0, end: ArrayLike = 0.0) -> Schedule:
    """end + (1 - end) (1 - epoch / epochs)^power, then end.

    Range    epochs > 0;  power > 0;  0 <= end <= 1
    """
    epochs = checked("polynomial", "epochs", epochs, above=0)
    power = checked("polynomial", "power", power, above=0)
    end = checked("polynomial", "end", end, at_least=0, at_most=1)
    return Schedule(lambda epoch, state: end + (1 - end) * (1 - np.minimum(epoch / epochs, 1)) ** power)


def cosine(epochs: ArrayLike, end: ArrayLike = 0.0) -> Schedule:
    """end + (1 - end) (1 + cos(pi epoch / epochs)) / 2, then end.

    Range    epochs > 0;  0 <= end <= 1
    Source   Loshchilov & Hutter (2016), arXiv:1608.03983, equation 5, without restarts
    """
    epochs = checked("cosine", "epochs", epochs, above=0)
    end = checked("cosine", "end", end, at_least=0, at_most=1)
    return Schedule(lambda epoch, state: _anneal(np.ones_like(end), end, np.minimum(epoch / epochs, 1)))


def warm_restarts(epochs: ArrayLike, growth: ArrayLike = 1, end: ArrayLike = 0.0) -> Schedule:
    """A cosine from 1 to end that begins anew when it is through, each time `growth` times as long.

    Range    epochs >= 1 of the first;  growth >= 1;  0 <= end <= 1
    Source   Loshchilov & Hutter (2016), arXiv:1608.03983, equation 5
    """
    epochs = checked("warm_restarts", "epochs", epochs, at_least=1)
    growth = checked("warm_restarts", "growth", growth, at_least=1)
    end = checked("warm_restarts", "end", end, at_least=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        begun, length = np.zeros(np.broadcast(epoch, epochs, growth).shape), epochs
        while np.any(epoch >= begun + length):
            over = epoch >= begun + length
            begun, length = np.where(over, begun + length, begun), np.where(over, length * growth, length)
        return _anneal(np.ones_like(end), end, (epoch - begun) / length)

    return Schedule(factor)


def warm_up(epochs: ArrayLike, then: Schedule, start: ArrayLike = 0.1) -> Schedule:
    """From start linearly to 1, then another schedule, whose time begins there.

    Range    epochs > 0;  0 < start <= 1
    Source   Goyal et al. (2017), arXiv:1706.02677, section 2.2
    """
    epochs = checked("warm_up", "epochs", epochs, above=0)
    start = checked("warm_up", "start", start, above=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        rising = start + (1 - start) * np.minimum(epoch / epochs, 1)
        return np.where(epoch < epochs, rising, then.factor(np.maximum(epoch - epochs, 0), state))

    def observe(loss: Array, state: State, epoch: int) -> None:
        before = {name: array.copy() for name, array in state.items()}
        then.observe(loss, state, epoch)
        for name, array in state.items():
            np.copyto(array, before[name], where=epoch <= epochs)

    return Schedule(factor, then.init, observe)


def one_cycle(epochs: ArrayLike, peak_at: ArrayLike = 0.3, start: ArrayLike = 0.04, end: ArrayLike = 4e-6) -> Schedule:
    """Up from start to 1 and down to end, both along half a cosine.

    Range    epochs > 0;  0 < peak_at < 1, a share of the epochs;  0 < start <= 1;  0 <= end <= 1
    Source   Smith & Topin (2017), arXiv:1708.07120
    Differs  from the paper: cosines for straight lines, and momentum stays, as in most libraries
    """
    epochs = checked("one_cycle", "epochs", epochs, above=0)
    peak_at = checked("one_cycle", "peak_at", peak_at, above=0, below=1)
    start = checked("one_cycle", "start", start, above=0, at_most=1)
    end = checked("one_cycle", "end", end, at_least=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        share = np.minimum(epoch / epochs, 1)
        up = _anneal(start, np.ones_like(start), np.minimum(share / peak_at, 1))
        down = _anneal(np.ones_like(end), end, np.maximum(share - peak_at, 0) / (1 - peak_at))
        return np.where(share < peak_at, up, down)

    return Schedule(factor)


def reduce_on_plateau(
    factor: ArrayLike = 0.1,
    patience: ArrayLike = 10,
    threshold: ArrayLike = 1e-4,
    cooldown: ArrayLike = 0,
    lowest: ArrayLike = 0.0,
) -> Schedule:
    """The rate is multiplied by `factor` when the validation loss has not fallen for more than `patience` epochs.

    Fallen means by more than the share `threshold` of its size below the best so far. After a reduction, `cooldown`
    epochs do not count.
    Each network goes by its own loss.

    Range    0 < factor < 1;  patience, cooldown >= 0, in epochs;  threshold >= 0;  0 <= lowest <= 1
    """
    factor = checked("reduce_on_plateau", "factor", factor, above=0, below=1)
    patience = checked("reduce_on_plateau", "patience", patience, at_least=0, integer=True)
    threshold = checked("reduce_on_plateau", "threshold", threshold, at_least=0)
    cooldown = checked("reduce_on_plateau", "cooldown", cooldown, at_least=0, integer=True)
    lowest = checked("reduce_on_plateau", "lowest", lowest, at_least=0, at_most=1)

    def init(n_networks: int) -> State:
        zeros = np.zeros(n_networks)
        return {"factor": zeros + 1, "best": zeros + np.inf, "bad": zeros.copy(), "cooling": zeros.copy()}

    def observe(loss: Array, state: State, epoch: int) -> None:
        best = state["best"]
        fell = np.where(
            np.isinf(best), np.isfinite(loss), loss < best - threshold * np.abs(np.where(np.isinf(best), 0, best))
        )
        np.copyto(state["best"], loss, where=fell)
        cooling = state["cooling"] > 0
        state["cooling"] -= cooling
        state["bad"][...] = np.where(fell | cooling, 0, state["bad"] + 1)
        reduce = state["bad"] > patience
        np.copyto(state["factor"], np.maximum(state["factor"] * factor, lowest), where=reduce)
        np.copyto(state["cooling"], cooldown, where=reduce)
        np.copyto(state["bad"], 0, where=reduce)

    return Schedule(lambda epoch, state: state["factor"], init, observe)


def _anneal(start: Array, end: Array, share: Any) -> Array:
    """From start to end along half a cosine, share from 0 to 1."""
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2
