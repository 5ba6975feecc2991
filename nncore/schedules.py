"""Schedules: a factor that multiplies a number in the course of training.

The number is the optimizer's learning rate, or, for schedules that depend on time alone, the strength of a regularizer.

Time is counted in epochs from 0 and continues within an epoch: step s of an epoch of S steps, counted from 0, is at
time epoch + s / S. Each public function returns a `Schedule`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.kernels.hyperparameters import checked


class Schedule(NamedTuple):
    """A factor of the learning rate or of another number, and its state.

    Parameters
    ----------
    factor : callable
        factor(epoch, state) returns the factor at this time, (1,) or (K,); epoch is a number or (K,).
    init : callable, optional
        init(K) returns the state before the first epoch: arrays (K,), by name. Most schedules have none.
    observe : callable, optional
        observe(loss, state, epoch) is called with the validation loss (K,) after each epoch, counted from 1; it changes
        the state.
    """

    factor: Callable[[Any, State], Array]
    init: Callable[[int], State] = lambda n_networks: {}
    observe: Callable[[Array, State, int], None] = lambda loss, state, epoch: None

    def __repr__(self) -> str:
        """Return the name of the function that made it: so the documentation shows a default."""
        return getattr(self.factor, "__qualname__", "Schedule").partition(".")[0]


def check_depends_on_time_alone(component: str, schedule: Schedule) -> None:
    """Raise ValueError, naming the component that is to follow the schedule, if the schedule has a state."""
    if schedule.init(1):
        raise ValueError(
            f"schedule must depend on time alone, but has a state, as reduce_on_plateau has ({component}); "
            "choose another, such as cosine"
        )


def constant() -> Schedule:
    """Factor 1 at all times."""
    return Schedule(lambda epoch, state: np.ones_like(epoch, dtype=np.float64))


def step(every: ArrayLike, gamma: ArrayLike = 0.1) -> Schedule:
    """Step decay: multiply the rate by gamma every so many epochs.

    Parameters
    ----------
    every : float or array (K,), >= 1
        In epochs.
    gamma : float or array (K,), in (0, 1], default 0.1

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    gamma^floor(epoch / every)
    """
    every = checked("step", "every", every, at_least=1)
    gamma = checked("step", "gamma", gamma, above=0, at_most=1)
    return Schedule(lambda epoch, state: gamma ** np.floor(epoch / every))


def exponential(gamma: ArrayLike = 0.95) -> Schedule:
    """Exponential decay: gamma^epoch.

    Parameters
    ----------
    gamma : float or array (K,), in (0, 1], default 0.95

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.
    """
    gamma = checked("exponential", "gamma", gamma, above=0, at_most=1)
    return Schedule(lambda epoch, state: gamma**epoch)


def polynomial(epochs: ArrayLike, power: ArrayLike = 1.0, end: ArrayLike = 0.0) -> Schedule:
    """Polynomial decay from 1 to `end`, which then stays.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Length of the decay.
    power : float or array (K,), > 0, default 1
    end : float or array (K,), in [0, 1], default 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    end + (1 - end) (1 - epoch / epochs)^power, then end.
    """
    epochs = checked("polynomial", "epochs", epochs, above=0)
    power = checked("polynomial", "power", power, above=0)
    end = checked("polynomial", "end", end, at_least=0, at_most=1)
    return Schedule(lambda epoch, state: end + (1 - end) * (1 - np.minimum(epoch / epochs, 1)) ** power)


def cosine(epochs: ArrayLike, end: ArrayLike = 0.0) -> Schedule:
    """Cosine decay from 1 to `end`, which then stays.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Length of the decay.
    end : float or array (K,), in [0, 1], default 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    end + (1 - end) (1 + cos(pi epoch / epochs)) / 2, then end.

    References
    ----------
    Loshchilov & Hutter (2016), arXiv:1608.03983, equation 5, without restarts.
    """
    epochs = checked("cosine", "epochs", epochs, above=0)
    end = checked("cosine", "end", end, at_least=0, at_most=1)
    return Schedule(lambda epoch, state: _cosine(np.ones_like(end), end, np.minimum(epoch / epochs, 1)))


def flat_cosine(epochs: ArrayLike, flat: ArrayLike = 0.5, end: ArrayLike = 0.0) -> Schedule:
    """Factor 1 for a share of the epochs, then cosine decay to `end`, which then stays.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Until the end of the decay.
    flat : float or array (K,), in [0, 1), default 0.5
        Share of the epochs before the decay.
    end : float or array (K,), in [0, 1], default 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    With s = epoch / epochs, at most 1: 1 while s <= flat,
    then end + (1 - end) (1 + cos(pi (s - flat) / (1 - flat))) / 2.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, section 3.
    """
    epochs = checked("flat_cosine", "epochs", epochs, above=0)
    flat = checked("flat_cosine", "flat", flat, at_least=0, below=1)
    end = checked("flat_cosine", "end", end, at_least=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        share = np.maximum(np.minimum(epoch / epochs, 1) - flat, 0) / (1 - flat)
        return _cosine(np.ones_like(end), end, share)

    return Schedule(factor)


def coslog4(epochs: ArrayLike) -> Schedule:
    """Four waves from 0 to 1 and back to 0, each twice as long as the one before; then 0.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Length of the four waves, which end after 1/15, 3/15, 7/15 and all of it.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    (1 - cos(2 pi log2(1 + 15 epoch / epochs))) / 2, then 0.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, section 3.
    """
    epochs = checked("coslog4", "epochs", epochs, above=0)

    def factor(epoch: Any, state: State) -> Array:
        waves = np.log2(1 + 15 * np.minimum(epoch / epochs, 1))  # from 0 to 4
        return (1 - np.cos(2 * np.pi * waves)) / 2

    return Schedule(factor)


def warm_restarts(epochs: ArrayLike, growth: ArrayLike = 1, end: ArrayLike = 0.0) -> Schedule:
    """Cosine decay from 1 to `end` with warm restarts, each period `growth` times as long as the one before.

    Parameters
    ----------
    epochs : float or array (K,), >= 1
        Length of the first period.
    growth : float or array (K,), >= 1, default 1
    end : float or array (K,), in [0, 1], default 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    References
    ----------
    Loshchilov & Hutter (2016), arXiv:1608.03983, equation 5.
    """
    epochs = checked("warm_restarts", "epochs", epochs, at_least=1)
    growth = checked("warm_restarts", "growth", growth, at_least=1)
    end = checked("warm_restarts", "end", end, at_least=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        begin, length = np.zeros(np.broadcast(epoch, epochs, growth).shape), epochs
        while np.any(epoch >= begin + length):
            has_ended = epoch >= begin + length
            begin, length = np.where(has_ended, begin + length, begin), np.where(has_ended, length * growth, length)
        return _cosine(np.ones_like(end), end, (epoch - begin) / length)

    return Schedule(factor)


def warm_up(epochs: ArrayLike, then: Schedule, start: ArrayLike = 0.1) -> Schedule:
    """Linear warm-up from `start` to 1, then another schedule, whose time begins when the warm-up ends.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Length of the warm-up.
    then : Schedule
    start : float or array (K,), in (0, 1], default 0.1

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    References
    ----------
    Goyal et al. (2017), arXiv:1706.02677, section 2.2.
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
    """One cycle: up from `start` to 1 and down to `end`, each along half a cosine.

    Parameters
    ----------
    epochs : float or array (K,), > 0
        Length of the cycle.
    peak_at : float or array (K,), in (0, 1), default 0.3
        Share of the epochs before the peak.
    start : float or array (K,), in (0, 1], default 0.04
    end : float or array (K,), in [0, 1], default 4e-6

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    The paper uses straight lines and also changes the momentum; cosines and a constant momentum are usual in libraries.

    References
    ----------
    Smith & Topin (2017), arXiv:1708.07120.
    """
    epochs = checked("one_cycle", "epochs", epochs, above=0)
    peak_at = checked("one_cycle", "peak_at", peak_at, above=0, below=1)
    start = checked("one_cycle", "start", start, above=0, at_most=1)
    end = checked("one_cycle", "end", end, at_least=0, at_most=1)

    def factor(epoch: Any, state: State) -> Array:
        share = np.minimum(epoch / epochs, 1)
        up = _cosine(start, np.ones_like(start), np.minimum(share / peak_at, 1))
        down = _cosine(np.ones_like(end), end, np.maximum(share - peak_at, 0) / (1 - peak_at))
        return np.where(share < peak_at, up, down)

    return Schedule(factor)


def reduce_on_plateau(
    factor: ArrayLike = 0.1,
    patience: ArrayLike = 10,
    threshold: ArrayLike = 1e-4,
    cooldown: ArrayLike = 0,
    lowest: ArrayLike = 0.0,
) -> Schedule:
    """Multiply the rate by `factor` when a network's validation loss has not improved for more than `patience` epochs.

    Parameters
    ----------
    factor : float or array (K,), in (0, 1), default 0.1
    patience : int or array (K,), >= 0, default 10
        In epochs.
    threshold : float or array (K,), >= 0, default 1e-4
        An improvement is a loss below the best so far by more than this share of the best's size.
    cooldown : int or array (K,), >= 0, default 0
        Epochs after a reduction that do not count.
    lowest : float or array (K,), in [0, 1], default 0
        Lower bound of the factor.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.
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
        bound = best - threshold * np.abs(np.where(np.isinf(best), 0, best))
        has_improved = np.where(np.isinf(best), np.isfinite(loss), loss < bound)
        np.copyto(state["best"], loss, where=has_improved)
        cooling = state["cooling"] > 0
        state["cooling"] -= cooling
        state["bad"][...] = np.where(has_improved | cooling, 0, state["bad"] + 1)
        reduce = state["bad"] > patience
        np.copyto(state["factor"], np.maximum(state["factor"] * factor, lowest), where=reduce)
        np.copyto(state["cooling"], cooldown, where=reduce)
        np.copyto(state["bad"], 0, where=reduce)

    return Schedule(lambda epoch, state: state["factor"], init, observe)


def _cosine(start: Array, end: Array, share: Any) -> Array:
    """From start to end along half a cosine, share from 0 to 1."""
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2
