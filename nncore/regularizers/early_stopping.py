"""Early stopping, and the selection of the best epoch without stopping."""

import re

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State, as_array_like
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import AUTO, OBJECTIVE, EarlyStopping


def early_stopping(
    patience: ArrayLike = 5,
    min_delta: ArrayLike = 0.0,
    watch: str = "validation/loss",
    restore: bool = True,
    relative: bool = False,
    share: ArrayLike = 0.0,
) -> EarlyStopping:
    """Stop a network when its curve has not improved for `patience` epochs, and select its best weights.

    Parameters
    ----------
    patience : int or array (K,), >= 1, default 5
        In epochs.
    min_delta : float or array (K,), >= 0, default 0
        In units of the curve: only a fall by more than this counts as an improvement.
    watch : str, default "validation/loss"
        The curve: "validation/loss", "validation/<metric>", "train/loss", "train/objective" or "auto". The objective is
        what training minimises: the loss on the training rows plus all penalties. Of a metric whose greater values are
        better, a rise counts as a fall does for others. auto: the metric of select.metric if it is computed after every
        epoch, else the validation loss.
    restore : bool, default True
        Whether the weights of the epoch with the best value are selected in the end; also for a network that is never
        stopped.
    relative : bool, default False
        Whether min_delta is a fraction of the curve's value at the last improvement.
    share : float or array (K,), >= 0, default 0
        Patience is longer by this share of the epochs that training had taken until the last improvement. With a
        patience of 40 and a share of 2 a network whose last improvement was in epoch 10 stops after epoch 70.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    An improvement is a value more than min_delta below the value of the last improvement. A value that is not a number
    is worse than any other. Of epochs with equal values the first is the best.

    References
    ----------
    Prechelt (1998), "Early stopping - but when?".
    """
    patience = checked("early_stopping", "patience", patience, at_least=1, integer=True)
    min_delta = checked("early_stopping", "min_delta", min_delta, at_least=0)
    share = checked("early_stopping", "share", share, at_least=0)
    _check_watch("early_stopping", watch)

    def init(W: Array) -> State:
        zeros = np.zeros(len(W))
        return _start(W, restore) | {"reference": zeros + np.inf, "bad": zeros.copy()}

    def observe(W: Array, state: State, value: Array, epoch: int) -> Array:
        value = np.where(np.isnan(value), np.inf, value)
        _keep(W, state, value, epoch, (value < state["best"]) | (state["epoch"] == 0))
        size = np.where(np.isfinite(state["reference"]), np.abs(state["reference"]), 0) if relative else 1
        has_improved = value < state["reference"] - min_delta * size
        np.copyto(state["reference"], value, where=has_improved)
        state["bad"][...] = np.where(has_improved, 0, state["bad"] + 1)
        return state["bad"] >= patience + share * (epoch - state["bad"])

    return EarlyStopping(watch, restore, init, observe)


def keep_best(watch: str = AUTO) -> EarlyStopping:
    """Select a network's weights of the epoch with the best value of a curve; training is not stopped.

    Parameters
    ----------
    watch : str, default "auto"
        The curve, as in `early_stopping`.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    Of epochs with equal values the last is the best: the weights have seen more rows. A value that is not a number is
    worse than any other.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, section 3.
    """
    _check_watch("keep_best", watch)

    def observe(W: Array, state: State, value: Array, epoch: int) -> Array:
        value = np.where(np.isnan(value), np.inf, value)
        _keep(W, state, value, epoch, value <= state["best"])
        return np.zeros(len(value), bool)

    return EarlyStopping(watch, True, lambda W: _start(W, True), observe)


def _check_watch(component: str, watch: str) -> None:
    if watch not in (AUTO, "train/loss", OBJECTIVE) and not re.fullmatch(r"validation/[A-Za-z_]\w*", watch):
        raise ValueError(
            f"watch must be validation/loss, validation/<metric>, train/loss or auto, but is {watch!r} ({component}); "
            f"{OBJECTIVE} is the training loss with its penalties"
        )


def _start(W: Array, restore: bool) -> State:
    """The state before the first epoch."""
    zeros = np.zeros(len(W))
    return {"best": zeros + np.inf, "epoch": zeros} | ({"weights": W.copy()} if restore else {})


def _keep(W: Array, state: State, value: Array, epoch: int, is_best: Array) -> None:
    """Note the value (K,), the epoch and the weights of the networks for which this epoch is the best so far."""
    np.copyto(state["best"], value, where=is_best)
    np.copyto(state["epoch"], epoch, where=is_best)
    if "weights" in state:
        np.copyto(state["weights"], W, where=as_array_like(is_best[:, None], W))
