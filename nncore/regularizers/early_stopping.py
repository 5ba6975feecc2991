"""Early stopping."""

import re

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State, as_array_like
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import OBJECTIVE, EarlyStopping


def early_stopping(
    patience: ArrayLike = 5,
    min_delta: ArrayLike = 0.0,
    watch: str = "validation/loss",
    restore: bool = True,
    relative: bool = False,
) -> EarlyStopping:
    """Stop a network when its curve has not improved for `patience` epochs, and select its best weights.

    Parameters
    ----------
    patience : int or array (K,), >= 1, default 5
        In epochs.
    min_delta : float or array (K,), >= 0, default 0
        In units of the curve: only a fall by more than this counts as an improvement.
    watch : str, default "validation/loss"
        The curve: "validation/loss", "validation/<metric>", "train/loss" or "train/objective". The objective is what
        training minimises: the loss on the training rows plus all penalties. Of a metric whose greater values are
        better, a rise counts as a fall does for others.
    restore : bool, default True
        Whether the weights of the epoch with the best value are selected in the end; also for a network that is never
        stopped.
    relative : bool, default False
        Whether min_delta is a fraction of the curve's value at the last improvement.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    An improvement is a value more than min_delta below the value of the last improvement. A value that is not a number
    is worse than any other.

    References
    ----------
    Prechelt (1998), "Early stopping - but when?".
    """
    patience = checked("early_stopping", "patience", patience, at_least=1, integer=True)
    min_delta = checked("early_stopping", "min_delta", min_delta, at_least=0)
    if watch not in ("train/loss", OBJECTIVE) and not re.fullmatch(r"validation/[A-Za-z_]\w*", watch):
        raise ValueError(
            f"watch must be validation/loss, validation/<metric> or train/loss, but is {watch!r} (early_stopping); "
            f"{OBJECTIVE} is the training loss with its penalties"
        )

    def init(W: Array) -> State:
        zeros = np.zeros(len(W))
        counts = {"best": zeros + np.inf, "epoch": zeros, "reference": zeros + np.inf, "bad": zeros.copy()}
        return counts | ({"weights": W.copy()} if restore else {})

    def observe(W: Array, state: State, value: Array, epoch: int) -> Array:
        value = np.where(np.isnan(value), np.inf, value)
        is_best = (value < state["best"]) | (state["epoch"] == 0)
        np.copyto(state["best"], value, where=is_best)
        np.copyto(state["epoch"], epoch, where=is_best)
        if restore:
            np.copyto(state["weights"], W, where=as_array_like(is_best[:, None], W))
        size = np.where(np.isfinite(state["reference"]), np.abs(state["reference"]), 0) if relative else 1
        has_improved = value < state["reference"] - min_delta * size
        np.copyto(state["reference"], value, where=has_improved)
        state["bad"][...] = np.where(has_improved, 0, state["bad"] + 1)
        return state["bad"] >= patience

    return EarlyStopping(watch, restore, init, observe)
