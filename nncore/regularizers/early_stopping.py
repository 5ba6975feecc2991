"""Early stopping."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State, as_array_like
from nncore.kernels.hyperparameters import checked
from nncore.regularizers.base import EarlyStopping


def early_stopping(
    patience: ArrayLike = 5, min_delta: ArrayLike = 0.0, watch: str = "validation/loss", restore: bool = True
) -> EarlyStopping:
    """A network stops when its curve has not fallen for `patience` epochs, and answers with its best weights.

    Fallen means by more than min_delta below where it last had fallen to. The best weights are those of the epoch
    with the lowest value; they count also for a network that is never stopped.

    Range    patience >= 1, in epochs;  min_delta >= 0, in units of the curve;
             watch: "validation/loss" or "train/loss";  restore: whether to answer with the best weights
    Source   Prechelt (1998), "Early stopping - but when?"
    """
    patience = checked("early_stopping", "patience", patience, at_least=1, integer=True)
    min_delta = checked("early_stopping", "min_delta", min_delta, at_least=0)
    if watch not in ("validation/loss", "train/loss"):
        raise ValueError(f"watch must be validation/loss or train/loss, but is {watch!r} (early_stopping)")

    def init(W: Array) -> State:
        zeros = np.zeros(len(W))
        counts = {"best": zeros + np.inf, "epoch": zeros, "reference": zeros + np.inf, "bad": zeros.copy()}
        return counts | ({"weights": W.copy()} if restore else {})

    def observe(W: Array, state: State, value: Array, epoch: int) -> Array:
        best = value < state["best"]
        np.copyto(state["best"], value, where=best)
        np.copyto(state["epoch"], epoch, where=best)
        if restore:
            np.copyto(state["weights"], W, where=as_array_like(best[:, None], W))
        fell = value < state["reference"] - min_delta
        np.copyto(state["reference"], value, where=fell)
        state["bad"][...] = np.where(fell, 0, state["bad"] + 1)
        return state["bad"] >= patience

    return EarlyStopping(watch, restore, init, observe)
