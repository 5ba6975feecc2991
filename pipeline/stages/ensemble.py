"""Select, by the validation rows, which trained networks predict best together."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble, greedy_selection
from nncore.inference.model import Model
from nncore.kernels.backend import Array
from nncore.losses import mixture_loss, moments
from nncore.stack.passes import predict
from pipeline.components.types import PreparedView
from pipeline.engine.slices.task import NetworkSelector, load_stack


def validation_moments(
    view: PreparedView, architecture: Architecture, selectors: list[NetworkSelector], stack: Any
) -> Array:
    """Predict the validation rows with n networks of a stack; see nncore.losses.moments.

    Returns
    -------
    array, shape (n, N, .)
    """
    stack = load_stack(stack)
    weights = np.concatenate([selector.weights(stack) for selector in selectors])
    return moments(architecture.functions.loss, predict(weights, architecture, view.data.validation.x))


def select_networks(
    view: PreparedView, architecture: Architecture, size: int, positions: list[int], *predictions: Array
) -> tuple[list[int], float]:
    """Select an ensemble greedily, with replacement.

    Parameters
    ----------
    view : PreparedView
        Holds the targets of the validation rows.
    architecture : Architecture
    size : int
    positions : list of int
        Where the first, the second, ... network is in `predictions`.
    *predictions : array, shape (n, N, .)
        The `validation_moments` of all networks, on the same rows.

    Returns
    -------
    counts : list of int
        How often each network is selected.
    loss : float
        Validation loss of the mean prediction.
    """
    rows, value = view.data.validation, mixture_loss(architecture.functions.loss)
    y = np.concatenate(predictions)[positions]
    counts = greedy_selection(y, rows.t, rows.weights, value, size)
    mean = np.average(y, axis=0, weights=counts)[None]
    loss = np.average(value(mean, rows.t.astype(np.float64)[None])[0], weights=rows.weights)
    return [int(count) for count in counts], float(loss)


def build_ensemble(counts: list[int], *models: Model) -> Ensemble:
    """Combine models into one, each as often as it was selected."""
    return Ensemble(models, tuple(counts))
